"""Tell from its path which split a file belongs to, and whether it is an image or a label file. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from engine.data.data_options import format_exclusion
from engine.data.split_folders import SPLIT_ALIASES, parse_split_name
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
_ROLES: dict[str, Role] = {**dict.fromkeys(IMAGE_FOLDERS, "image"), **dict.fromkeys(MASK_FOLDERS, "mask")}
# words that add nothing: "img_dir" and "ann_dir" are what mmseg calls the two folders
_FILLERS = frozenset(
    ("set", "data", "dataset", "split", "dir", "folder", "files", "png", "jpg", "semantic", "seg", "prepped")
)
# "train_val", "train-extra": what is named like a split and is not one must not end as a part of an image's name
_SPLIT_LIKE = re.compile(rf"(?:.*[\W_])?(?:{'|'.join(SPLIT_ALIASES)})+(?![a-z]).*")
# "trainannot", "trainmasks": SegNet's CamVid and others write the two words as one
_JOINED = re.compile(rf"({'|'.join(SPLIT_ALIASES)})({'|'.join((*IMAGE_FOLDERS[:-1], *MASK_FOLDERS[:-1]))})\d*")
_ALL_SPLITS = re.compile(r"[\W_]*(?:train[\W_]*val[\W_]*test)", re.IGNORECASE)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+")


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
    # gtFine_trainvaltest is what Cityscapes' archive is called, and holds all splits
    name = _ALL_SPLITS.sub("", name)
    if name.lower() in _ROLES and len(name) > 1:
        return None, _ROLES[name.lower()]
    if joined := _JOINED.fullmatch(name.lower()):
        return SPLIT_ALIASES[joined[1]], _ROLES[joined[2]]
    found = parse_split_name(name)
    # digits are no words: "train2017", "images2"
    words = found.rest.split() if found else _WORD.findall(name.lower())
    # "ground_truth" is one word, and "ground" alone is none
    text = " ".join(words).replace("ground truth", "groundtruth")
    roles = [_ROLES.get(word) for word in text.split() if word not in _FILLERS]
    # "x" and "y" are words only beside a split: x_train
    if None in roles or (found is None and text in ("x", "y")):
        return None, None
    # "image_masks" are masks
    role: Role | None = "mask" if "mask" in roles else "image" if roles else None
    return (found.split if found else None), role


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
        is_nearly_split = parse_split_name(name) or _SPLIT_LIKE.fullmatch(_CAMEL_CASE.sub("_", name).lower())
        if is_nearly_split and not split and not _ALL_SPLITS.search(name):
            raise DataError(
                f"{root}/{path} lies in {name}, which looks like a split and is not named as one; rename the folder to "
                f"train, val or test, or leave it out with {format_exclusion(path[: path.index(name) + len(name)])}"
            )
    # seg_train/seg_train is one split, train/test is two
    if len({split for _, split in splits}) > 1:
        names = " and ".join(name for name, _ in splits)
        raise DataError(
            f"{root}/{path} lies in folders of two splits ({names}), so it is not clear which one it is in; rename one "
            f"of the folders, or leave it out with {format_exclusion(pure.parent.as_posix())}"
        )
    # of roles the nearest folder decides: in segmentation_data/images are images
    return FileRole(path, splits[0][1] if splits else None, roles[-1] if roles else None, tuple(parents), pure.stem)


def require_one_name_per_split(root: object, files: Iterable[FileRole]) -> None:
    """Refuse images in two folders that mean the same split, as ``val`` and ``dev``: they would become one.

    Label files are left out, since their folders may well be called otherwise than those of the images.

    Args:
        root: the data folder, for messages.
        files: what the paths of the files say.
    """
    seen: dict[str, dict[str, str]] = {}
    for file in files:
        named = [name for name in PurePosixPath(file.path).parts[:-1] if read_folder_name(name)[0]]
        if file.split is None or file.role == "mask" or not named:
            continue
        # "valid" holds "val" too
        word = max((alias for alias in SPLIT_ALIASES if alias in named[-1].lower()), key=len)
        folder = file.path[: file.path.rindex(f"{named[-1]}/") + len(named[-1])]
        words = seen.setdefault(file.split, {})
        words.setdefault(word, folder)
        if len(words) > 1:
            first, second = words.values()
            raise DataError(
                f"{root}/{first} and {root}/{second} both mean the {file.split} split; put their files together, or "
                f"leave one out with {format_exclusion(second)}"
            )


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
