"""Read class folders: ImageNet, and a user's own images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from timm.data import ImageNetInfo
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes

from classification.data.dataset_splits import SPLIT_SALT, RawDataset, RawSplit, require_folder
from classification.data.image_collections import ImageFiles
from engine.data.split_folders import SPLIT_ALIASES, require_read_formats, require_split_names
from foundation.errors import DataError
from foundation.files import iter_files
from foundation.hash_order import order_by_hash
from foundation.plural import format_count

TEST_FRACTION = 0.2
"""Fraction of each class that becomes the test split if a user's folder has none."""


def read_imagenet(root: Path) -> RawDataset:
    """Read ``imagenet/train`` and ``imagenet/val`` with one folder per synset; val is the test split.

    The classes have the official order, which is the alphabetical order of the 1,000 synset ids.

    Raises:
        DataError: a folder is missing or empty, or is not named by an ImageNet synset.
    """
    folder = require_folder(root / "imagenet", "ImageNet")
    official = ImageNetInfo("imagenet-1k").label_names()
    splits = {}
    for split, name in (("train", "train"), ("test", "val")):
        splits[split] = _read_imagenet_split(folder, name, official)
    return RawDataset(dict(enumerate(official)), splits)


def _read_imagenet_split(folder: Path, name: str, official: Sequence[str]) -> RawSplit:
    split_folder = require_folder(folder / name, f"ImageNet's {name} split")
    strange = [child for child in _list_class_folders(split_folder) if child not in official]
    if strange:
        raise DataError(
            f"{split_folder / strange[0]} is not named by an ImageNet synset (n01440764 ...), so class numbers "
            "would not be the official ones; name the folders by synset, or run task imagefolder on them"
        )
    # class numbers come from the official list and not from the folders: with a missing folder all later classes
    # would move by one
    return _read_split(folder, split_folder, {synset: number for number, synset in enumerate(official)})


def read_imagenet_test(root: Path) -> RawDataset:
    """Read ``imagenet/val`` alone, as ``read_imagenet`` reads it; nobody needs train to test a finished model.

    Raises:
        DataError: as ``read_imagenet``.
    """
    folder = require_folder(root / "imagenet", "ImageNet")
    official = ImageNetInfo("imagenet-1k").label_names()
    return RawDataset(dict(enumerate(official)), {"test": _read_imagenet_split(folder, "val", official)})


def read_imagefolder(root: Path) -> RawDataset:
    """Read a user's folder: ``train/CLASS/*.jpg`` with ``test/`` or ``val/`` or both, or class folders only.

    With train and val but no test, val is the test split. With class folders only, a fixed fifth of each class is the
    test split. A file ``classes.txt`` with one class per line sets the order of the classes; otherwise they are sorted
    by name.

    Raises:
        DataError: a folder is missing, empty, or a class that train does not have.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; name your folder of class folders with --data-root")
    if not (root / "train").is_dir():
        return _read_unsplit(root)
    require_split_names(root)
    others = [name for name in ("test", "val") if (root / name).is_dir()]
    if not others:
        raise DataError(
            f"{root} has train/ and neither test/ nor val/; add one, or name train/ itself with --data-root"
        )
    train = require_folder(root / "train", "the train split")
    classes = _number_classes(root, _list_class_folders(train))
    # val/ stays val only if there is a test/ next to it
    names = {"train": "train", "test": others[0]} | ({"val": "val"} if len(others) == 2 else {})
    splits = {split: _read_split(root, root / name, classes) for split, name in names.items()}
    notes = [f"classes in the order {_abbreviate_names(list(classes))}"]
    if others == ["val"]:
        notes.append("val/ is the test split: a fixed part of train/ is used to choose on")
    return RawDataset({number: name for name, number in classes.items()}, splits, notes=tuple(notes))


def read_imagefolder_test(root: Path, whole_folder: bool) -> RawDataset:
    """Read the test images of a user's folder: ``test/``, else ``val/``, else all class folders.

    Args:
        root: the folder.
        whole_folder: of class folders without splits, take every image; ``False`` takes the fixed fifth that a run on
            this folder was tested on, as it was trained on the others.

    Raises:
        DataError: a folder is missing or empty, or a class that train does not have.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; name your folder of class folders with --data-root")
    require_split_names(root)
    name = next((name for name in ("test", "val") if (root / name).is_dir()), None)
    if name is None and ((root / "train").is_dir() or not whole_folder):
        # the same words as for a run, which needs a test split too
        found = read_imagefolder(root)
        return found._replace(splits={"test": found.splits["test"]})
    split_folder = root / name if name else root
    # a class that only train has is one of a run's classes as well
    names = _list_class_folders(root / "train" if (root / "train").is_dir() else split_folder)
    classes = _number_classes(root, names)
    untested = [each for each in classes if not (split_folder / each).is_dir()]
    if untested:
        raise DataError(
            f"class {untested[0]!r} in {root / 'train'} has no folder in {split_folder} ({len(untested)} of "
            f"{len(classes)} classes have none); add test images, or remove the class"
        )
    split = _read_split(root, split_folder, classes)
    notes = () if name else ("no test split found: all images are tested",)
    return RawDataset({number: name for name, number in classes.items()}, {"test": split}, notes=notes)


def _read_unsplit(root: Path) -> RawDataset:
    """Read class folders without splits; a fixed fifth of each class becomes the test split.

    A hash of each file's path below ``root`` decides which files these are, so the split is the same on every machine.

    Raises:
        DataError: a folder is missing or empty, or a class has fewer than three images.
    """
    names = _list_class_folders(root)
    if all(name.lower() in SPLIT_ALIASES for name in names):
        require_split_names(root)  # Train and Test are not two classes
    classes = _number_classes(root, names)
    whole = _read_split(root, root, classes)
    assert isinstance(whole.images, ImageFiles)
    by_class: dict[int, list[str]] = {}
    for path, label in zip(whole.images.paths, whole.labels, strict=True):
        by_class.setdefault(label, []).append(path)
    tests: set[str] = set()
    for name, number in classes.items():
        members = by_class[number]
        if len(members) < 3:
            raise DataError(
                f"class {name!r} in {root} has {format_count(len(members), 'image')}; without a test folder each class "
                "needs 3 or more, because train, val and test get one each"
            )
        count = max(1, round(TEST_FRACTION * len(members)))
        ordered = order_by_hash(members, f"{SPLIT_SALT}:test", to_text=lambda path: Path(path).as_posix())
        tests.update(ordered[:count])
    splits = {}
    for split, inside in (("train", False), ("test", True)):
        chosen = [(p, c) for p, c in zip(whole.images.paths, whole.labels, strict=True) if (p in tests) == inside]
        splits[split] = RawSplit(ImageFiles(root, [p for p, _ in chosen]), [c for _, c in chosen])
    notes = (
        f"classes in the order {_abbreviate_names(list(classes))}",
        "no test split found: a fixed fifth of each class is it",
    )
    return RawDataset({number: name for name, number in classes.items()}, splits, notes=notes)


def _list_class_folders(folder: Path) -> list[str]:
    """Return the names of the class folders, sorted.

    Raises:
        DataError: the folder holds images directly, or no class folder.
    """
    try:
        names, _ = find_classes(str(folder))
    except FileNotFoundError:
        loose = sum(child.suffix.lower() in IMG_EXTENSIONS for child in folder.iterdir())
        if loose:
            raise DataError(
                f"{folder} holds {loose:,} images and no class folders, so their labels are not known; "
                "sort them into one folder per class"
            ) from None
        raise DataError(f"{folder} has no class folders; make one folder per class and put its images there") from None
    return [name for name in names if not name.startswith(".")]  # .ipynb_checkpoints and the like


def _read_split(root: Path, split_folder: Path, class_numbers: dict[str, int]) -> RawSplit:
    """Read the class folders of one split.

    Args:
        root: paths and the fingerprint are relative to this folder.
        split_folder: the folder that holds the class folders.
        class_numbers: label of each class, by folder name.

    Raises:
        DataError: a class that is not in ``class_numbers``, or a class folder without images.
    """
    unknown = [name for name in _list_class_folders(split_folder) if name not in class_numbers]
    if unknown:
        raise DataError(
            f"{split_folder / unknown[0]} is a class that train does not have; make the class folders agree"
        )
    present = {name: number for name, number in class_numbers.items() if (split_folder / name).is_dir()}
    paths: list[str] = []
    labels: list[int] = []
    for name in sorted(present):
        # not torchvision's make_dataset: it takes hidden files (.ipynb_checkpoints, ._0.jpg) for images, and enters a
        # link to its own folder forty times; the order is that of make_dataset
        files = sorted(map(str, iter_files(split_folder / name)), key=os.path.split)
        require_read_formats(files)
        images = [os.path.relpath(path, root) for path in files if path.lower().endswith(IMG_EXTENSIONS)]
        if not images:
            raise DataError(f"{split_folder / name} holds no image ({', '.join(IMG_EXTENSIONS)}); fill it or remove it")
        paths += images
        labels += [present[name]] * len(images)
    return RawSplit(ImageFiles(root, paths), labels)


def _number_classes(root: Path, class_names: list[str]) -> dict[str, int]:
    """Number the classes in the order of ``classes.txt``, or of their sorted names if there is no such file.

    Raises:
        DataError: ``classes.txt`` and the class folders differ.
    """
    file = root / "classes.txt"
    if not file.is_file():
        return {name: number for number, name in enumerate(class_names)}
    listed = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if sorted(listed) != class_names:
        odd = sorted(set(listed) ^ set(class_names)) or ["a name that is listed twice"]
        raise DataError(
            f"{file} and the class folders differ: {_abbreviate_names(odd)}; list each folder once, one per line"
        )
    return {name: number for number, name in enumerate(listed)}


def _abbreviate_names(names: list[str]) -> str:
    """Return the first six names and, if there are more, their number."""
    return ", ".join(names[:6]) + (f", ... ({len(names)})" if len(names) > 6 else "")
