"""Pair images and label files by their names, wherever in a user's folder they lie. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from foundation.errors import DataError
from foundation.text.user_names import normalize_name
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.own_folder.file_roles import FileRole, drop_common_parents

IMAGE_ENDINGS = ("", "_leftImg8bit", "_image", "_img", "_sat", "_rgb")
MASK_ENDINGS = (
    *("", "_mask", "_masks", "_L", "_label", "_labels", "_labelIds", "_seg", "_segmentation", "_gt", "_annotation"),
    *("_gtFine_labelIds", "_gtFine_labelTrainIds", "-mask", "-label"),
)
"""What tools append to the name of an image; ``""`` comes first, so that equal names always win."""

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")

PairKey = tuple[str | None, tuple[str, ...], str]


class NamedPairs(NamedTuple):
    """The pairs of a user's folder.

    Attributes:
        splits: the pairs by split, in the order of their names; ``None`` if no folder names a split.
        used: paths of the paired files below the data folder.
        notes: how the names differ, for the report.
    """

    splits: Mapping[str | None, Sequence[ImageLabelPair]]
    used: frozenset[str]
    notes: tuple[str, ...]


class _Trial(NamedTuple):
    image_ending: str
    mask_ending: str
    images: dict[PairKey, FileRole]
    masks: dict[PairKey, FileRole]

    @property
    def common(self) -> list[PairKey]:
        return [key for key in self.images if key in self.masks]

    @property
    def alone(self) -> set[PairKey]:
        return self.images.keys() ^ self.masks.keys()


def pair_named_files(root: Path, files: Sequence[FileRole]) -> NamedPairs:
    """Pair every image with its label file.

    A pair has the same split, the same folders apart from those named after images and label files, and the same name,
    to which one ending of a known list may be added, the same in the whole folder.

    Args:
        root: the data folder.
        files: all images and label files.

    Raises:
        DataError: there are no label files, a file has no partner, or more than one.
    """
    masks = [file for file in files if file.role == "mask"]
    # where a folder is named after images, files elsewhere are not images of the set, and refused as unused
    images = [file for file in files if file.role == "image"] or [file for file in files if file.role is None]
    if masks and not images:
        raise DataError(
            f"{root} holds {len(masks):,} label files ({masks[0].path}, ...) and no images; put the images into a "
            "folder named images beside them"
        )
    if masks:
        trials = _try_two_folders(root, *drop_common_parents(images, masks))
    else:
        trials = _try_one_folder(root, *drop_common_parents(list(files)))
    best: _Trial | None = None
    for trial in trials:
        # nothing short of a partner for every file is accepted: what is left over would be a guess
        if trial.common and not trial.alone:
            return _make_pairs(root, trial)
        # for the message: the reading in which the fewest files are wrong
        if best is None or len(trial.common) > len(best.common):
            best = trial
    if best is None or not (masks or best.common):
        raise DataError(
            f"{root} holds {len(files):,} images ({files[0].path}, ...) and no label files: there is no folder named "
            "labels, masks or annotations, and no name that ends in _mask; put the label files into a folder labels"
        )
    raise _make_alone_error(root, best)


def fold_name(name: str) -> str:
    """Return a name in the form in which names that differ in case, or in how an accent is written, are equal."""
    return normalize_name(name).casefold()


def _try_two_folders(root: Path, images: list[FileRole], masks: list[FileRole]) -> Iterator[_Trial]:
    for fold in (str, fold_name):  # names that differ in case only are pairs, unless equal names are
        # each reading is a pass over all names, so endings that no file has are left out; equal names come first
        for image_ending in _list_used_endings(images, IMAGE_ENDINGS):
            for mask_ending in _list_used_endings(masks, MASK_ENDINGS):
                yield from _index_trial(root, (images, image_ending), (masks, mask_ending), fold)


def _list_used_endings(files: list[FileRole], endings: Sequence[str]) -> list[str]:
    stems = [file.stem.casefold() for file in files]
    return [each for each in endings if not each or any(stem.endswith(each.casefold()) for stem in stems)]


def _try_one_folder(root: Path, files: list[FileRole]) -> Iterator[_Trial]:
    """Yield the ways to read folders in which images and label files lie side by side, as Roboflow writes them."""
    for image_ending in IMAGE_ENDINGS:
        for mask_ending in MASK_ENDINGS[1:]:
            is_mask = [file.stem.casefold().endswith(mask_ending.casefold()) for file in files]
            masks = [file for file, inside in zip(files, is_mask, strict=True) if inside]
            images = [file for file, inside in zip(files, is_mask, strict=True) if not inside]
            if masks and images:
                yield from _index_trial(root, (images, image_ending), (masks, mask_ending), fold_name)
    # a.jpg beside a.png: a JPEG cannot be a label file
    is_photo = [file.path.lower().endswith(_JPEG_SUFFIXES) for file in files]
    photos = [file for file, inside in zip(files, is_photo, strict=True) if inside]
    others = [file for file, inside in zip(files, is_photo, strict=True) if not inside]
    if photos and others:
        yield from _index_trial(root, (photos, ""), (others, ""), fold_name)


def _index_trial(
    root: Path, images: tuple[list[FileRole], str], masks: tuple[list[FileRole], str], fold: Callable[[str], str]
) -> Iterator[_Trial]:
    """Yield one reading of the names, unless it makes two files of a kind the same.

    Args:
        root: the data folder.
        images: the images, and the ending that is no part of a name.
        masks: the label files, and their ending.
        fold: makes names comparable.

    Raises:
        DataError: two files have the same name as they are.
    """
    found: list[dict[PairKey, FileRole]] = []
    for files, ending in (images, masks):
        index: dict[PairKey, FileRole] = {}
        for file in files:
            key = (file.split, tuple(map(fold, file.parents)), fold(_cut_ending(file.stem, ending)))
            if key in index and not ending and fold is str:
                raise DataError(
                    f"{root / index[key].path} and {root / file.path} have the same name, so it is not clear which "
                    "one belongs to the pair; keep one of them, or leave one out with --exclude "
                    f"{_find_own_folder(file.path, index[key].path)}"
                )
            # without the ending two names are one, so the ending does not mean what it means elsewhere
            if key in index:
                return
            index[key] = file
        found.append(index)
    yield _Trial(images[1], masks[1], *found)


def _find_own_folder(path: str, other: str) -> str:
    """Return the outermost folder that a file lies in and another one does not, or the path if there is none.

    >>> _find_own_folder("masks/train/0.png", "labels/train/0.png"), _find_own_folder("labels/0.gif", "labels/0.png")
    ('masks', 'labels/0.gif')
    """
    for parent in reversed(PurePosixPath(path).parents[:-1]):
        if not PurePosixPath(other).is_relative_to(parent):
            return parent.as_posix()
    return path


def _cut_ending(stem: str, ending: str) -> str:
    return stem[: len(stem) - len(ending)] if ending and stem.casefold().endswith(ending.casefold()) else stem


def _make_alone_error(root: Path, trial: _Trial) -> DataError:
    if not trial.common:  # one file that is lost is not the cause, and leaving all of them out is no cure
        image, mask = next(iter(trial.images.values())), next(iter(trial.masks.values()))
        return DataError(
            f"no label file below {root} has the folders and name of an image: the first ones are {image.path} and "
            f"{mask.path}; rename the label files as their images, with nothing but an ending such as _mask after that"
        )
    key = min(trial.alone, key=str)
    more = f" ({len(trial.alone):,} files have no partner)" if len(trial.alone) > 1 else ""
    if key in trial.images:
        file, example = trial.images[key], next(iter(trial.masks.values()))
        name = _cut_ending(file.stem, trial.image_ending) + trial.mask_ending
        return DataError(
            f"{root / file.path} has no annotation, no {name}.png as {example.path} is one{more}; fetch it, or leave "
            f"the image out with --exclude {_suggest_exclusion(file, trial)}"
        )
    file = trial.masks[key]
    return DataError(
        f"{root / file.path} has no image of that name{more}; fetch it, or leave the label file out with --exclude "
        f"{_suggest_exclusion(file, trial)}"
    )


def _suggest_exclusion(file: FileRole, trial: _Trial) -> str:
    """Return the folder of a file without a partner if no file in it has one, else its path."""
    folder = str(PurePosixPath(file.path).parent)
    paired = [found[key].path for key in trial.common for found in (trial.images, trial.masks)]
    # the test images of a contest come without label files, all of them
    is_alone = folder != "." and not any(path.startswith(f"{folder}/") for path in paired)
    return folder if is_alone else file.path


def _make_pairs(root: Path, trial: _Trial) -> NamedPairs:
    keys: dict[str | None, list[PairKey]] = {}
    for key in trial.images:
        keys.setdefault(key[0], []).append(key)
    splits: dict[str | None, list[ImageLabelPair]] = {}
    for split, inside in keys.items():
        names = _name_images([trial.images[key] for key in inside], trial.image_ending)
        splits[split] = [
            ImageLabelPair(name, root / trial.images[key].path, root / trial.masks[key].path)
            for key, name in zip(inside, names, strict=True)
        ]
    for pairs in splits.values():
        # items are numbered in this order, whatever order a file system lists them in
        pairs.sort(key=lambda pair: pair.name)
        for one, other in pairwise(pairs):
            if one.name == other.name:
                raise DataError(
                    f"{one.image_path} and {other.image_path} would both be called {one.name}; rename one of them"
                )
    used = frozenset(file.path for file in (*trial.images.values(), *trial.masks.values()))
    notes = []
    first = next(iter(trial.images))
    image_path, mask_path = PurePosixPath(trial.images[first].path), PurePosixPath(trial.masks[first].path)
    # what the names alone do not say
    if trial.image_ending or trial.mask_ending or image_path.parent == mask_path.parent:
        notes.append(f"pairs by name: {mask_path.name} is the label file of {image_path.name}")
    return NamedPairs(splits, used, tuple(notes))


def _name_images(images: list[FileRole], ending: str) -> list[str]:
    """Return the name of each image of a split.

    The names of a split follow from its own files alone: evaluation, scoring and verification read only the test split,
    and must call its images as the run did.
    """
    stems = [_cut_ending(image.stem, ending) for image in images]
    # the folders belong to the name only where it takes them to tell two images apart
    if len(set(stems)) == len(stems):
        return stems
    (inside,) = drop_common_parents(images)
    return ["_".join((*image.parents, stem)) for image, stem in zip(inside, stems, strict=True)]
