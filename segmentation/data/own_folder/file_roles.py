"""Tell from its path which split a file belongs to, and whether it is an image or a label file. Imports no torch."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from engine.data.split_folders import SPLIT_ALIASES
from foundation.errors import DataError

Role = Literal["image", "mask"]

IMAGE_FOLDERS = (
    *("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "photos", "photo", "pictures", "inputs", "input"),
    *("originals", "original", "rgb", "x"),
)
MASK_FOLDERS = (
    *("labels", "label", "masks", "mask", "annotations", "annotation", "annots", "annot", "ann", "segmentationclass"),
    *("segmentations", "segmentation", "gtfine", "gt", "groundtruth", "targets", "target", "y"),
)
_WORDS: dict[str, str] = {
    **dict.fromkeys(IMAGE_FOLDERS, "image"),
    **dict.fromkeys(MASK_FOLDERS, "mask"),
    **SPLIT_ALIASES,
    "eval": "val",
}
# words that add nothing: "img_dir" and "ann_dir" are what mmseg calls the two folders
_FILLERS = frozenset(("set", "data", "dataset", "split", "dir", "folder", "files", "png", "jpg", "semantic", "prepped"))
# "train_extra", "testing-2": what is named like a split and is not one must not end as a part of an image's name
_SPLIT_LIKE = re.compile(rf"(?:.*[\W_])?({'|'.join(SPLIT_ALIASES)})(?![a-z]).*")
# "trainannot", "trainmasks": SegNet's CamVid and others write the two words as one
_JOINED = re.compile(rf"({'|'.join(SPLIT_ALIASES)})({'|'.join((*IMAGE_FOLDERS[:-1], *MASK_FOLDERS[:-1]))})")


class FileRole(NamedTuple):
    """What the path of a file says.

    Attributes:
        path: path below the data folder, with forward slashes.
        split: ``train``, ``val`` or ``test``; ``None`` if no folder is named after a split.
        role: what the folders are named after; ``None`` if none is named after images or label files.
        parents: names of the other folders.
        stem: name of the file without its suffix.
    """

    path: str
    split: str | None
    role: Role | None
    parents: tuple[str, ...]
    stem: str


def read_folder_name(name: str) -> tuple[str | None, Role | None]:
    """Return the split and the role that the name of a folder stands for.

    >>> read_folder_name("valid"), read_folder_name("train_masks"), read_folder_name("testannot")
    (('val', None), ('train', 'mask'), ('test', 'mask'))
    >>> read_folder_name("aachen")
    (None, None)
    """
    # "train2017", "images2"
    lower = name.lower().rstrip("0123456789")
    joined = _JOINED.fullmatch(lower)
    words = list(joined.groups()) if joined else [word for word in re.split(r"[\W_]+", lower) if word not in _FILLERS]
    # "ground_truth" is one word, and "ground" alone is none
    if "ground" in words and "truth" in words:
        words = [word for word in words if word != "ground"]
    known = [_WORDS.get(word, "mask" if word == "truth" else "") for word in words]
    # "x" and "y" are words only beside a split: x_train
    if not known or "" in known or (len(words) == 1 and words[0] in ("x", "y")):
        return None, None
    splits = {word for word in known if word in ("train", "val", "test")}
    roles = [word for word in known if word in ("image", "mask")]
    # "image_masks" are masks
    role: Role | None = "mask" if "mask" in roles else "image" if roles else None
    return (splits.pop() if splits else None, role) if len(splits) < 2 else (None, None)


def find_file_role(root: object, path: str) -> FileRole:
    """Return what the path of a file says.

    Args:
        root: the data folder, for messages.
        path: path below the data folder, with forward slashes.

    Raises:
        DataError: the path names two splits, or a folder looks like a split and is none.
    """
    # folders count from the outside to the inside, and in any order: images/train is train/images
    pure = PurePosixPath(path)
    splits: list[tuple[str, str]] = []
    roles: list[Role] = []
    parents = []
    for name in pure.parts[:-1]:
        split, role = read_folder_name(name)
        splits += [(name, split)] if split else []
        roles += [role] if role else []
        parents += [] if split or role else [name]
        if not split and _SPLIT_LIKE.fullmatch(name.lower()):
            raise DataError(
                f"{root}/{path} lies in {name}, which looks like a split and is not named as one; rename the folder to "
                f"train, val or test, or leave it out with --exclude {path[: path.index(name) + len(name)]}"
            )
    # seg_train/seg_train is one split, train/test is two
    if len({split for _, split in splits}) > 1:
        names = " and ".join(name for name, _ in splits)
        raise DataError(
            f"{root}/{path} lies in folders of two splits ({names}), so it is not clear which one it is in; rename one "
            f"of the folders, or leave it out with --exclude {pure.parent}"
        )
    # of roles the nearest folder decides: in segmentation_data/images are images
    return FileRole(path, splits[0][1] if splits else None, roles[-1] if roles else None, tuple(parents), pure.stem)


def drop_common_parents(*groups: list[FileRole]) -> list[list[FileRole]]:
    """Leave out the folders that wrap whole groups of files, as ``VOCdevkit/VOC2012``: they are not a part of names.

    A folder that wraps one group alone, as ``annotations/trimaps``, is left out only if the other groups have none in
    its place: the images of 2019 must not be paired with the label files of 2020.

    Args:
        groups: images and label files, or both as one group.

    Returns:
        The groups with shorter ``parents``.
    """
    wraps = [_find_common_parents(group) for group in groups]
    shared = 0
    # the wraps of all groups are compared folder by folder from the outside
    for names in zip(*wraps, strict=False):
        if len(set(names)) > 1:
            break
        shared += 1
    is_one_sided = sum(len(wrap) > shared for wrap in wraps) == 1
    cuts = [len(wrap) if is_one_sided else shared for wrap in wraps]
    return [
        [file._replace(parents=file.parents[cut:]) for file in group] for group, cut in zip(groups, cuts, strict=True)
    ]


def _find_common_parents(files: list[FileRole]) -> tuple[str, ...]:
    common = files[0].parents if files else ()
    for file in files:
        while file.parents[: len(common)] != common:
            common = common[:-1]
    return common
