"""Sets of class folders: ImageNet, and a user's own."""

from __future__ import annotations

import os
from pathlib import Path

from timm.data import ImageNetInfo
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from classification.data.dataset_splits import SPLIT_SALT, ImageFiles, RawDataset, RawSplit, require_folder
from foundation.errors import DataError
from foundation.hash_order import order_by_hash

TEST_FRACTION = 0.2
"""Of each class, where a user's folder has no test split."""


def read_imagenet(root: Path) -> RawDataset:
    """``imagenet/train`` and ``imagenet/val`` with a folder for each of the 1,000 synsets; val is the test split.

    Classes are in the official order, which is that of the sorted synset ids.
    """
    folder = require_folder(root / "imagenet", "ImageNet")
    official = ImageNetInfo("imagenet-1k").label_names()
    splits = {}
    for split, name in (("train", "train"), ("test", "val")):
        place = require_folder(folder / name, f"ImageNet's {name} split")
        strange = [child for child in _list_class_folders(place) if child not in official]
        if strange:
            raise DataError(
                f"{place / strange[0]} is not named by an ImageNet synset (n01440764 ...); class numbers would "
                "not be the official ones. Name the folders by synset, or run task imagefolder on them"
            )
        splits[split] = _read_split(folder, place, {synset: number for number, synset in enumerate(official)})
    return RawDataset(dict(enumerate(official)), splits)


def read_imagefolder(root: Path) -> RawDataset:
    """A user's folder: ``train/CLASS/*.jpg`` with ``test/`` and (or) ``val/``, or class folders only.

    With train and val only, val is the test split. With class folders only, a fixed fifth of each class is. A file
    ``classes.txt``, one class a line, sets the order of the classes; otherwise they are sorted by name.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; name your folder of class folders with --data-root")
    if not (root / "train").is_dir():
        return _read_unsplit(root)
    others = [name for name in ("test", "val") if (root / name).is_dir()]
    if not others:
        raise DataError(f"{root} has train/ and neither test/ nor val/; add one, or give the class folders alone")
    train = require_folder(root / "train", "the train split")
    classes = _number_classes(root, _list_class_folders(train))
    names = {"train": "train", "test": others[0]} | ({"val": "val"} if len(others) == 2 else {})
    splits = {split: _read_split(root, root / name, classes) for split, name in names.items()}
    notes = [f"classes in the order {_abbreviate_names(list(classes))}"]
    if others == ["val"]:
        notes.append("val/ is the test split: a fixed part of train/ is used to choose on")
    return RawDataset({number: name for name, number in classes.items()}, splits, notes=tuple(notes))


def _read_unsplit(root: Path) -> RawDataset:
    """Class folders alone: a fixed fifth of each class, by the hash of the file's path, is the test split."""
    classes = _number_classes(root, _list_class_folders(root))
    whole = _read_split(root, root, classes)
    assert isinstance(whole.images, ImageFiles)
    by_class: dict[int, list[str]] = {}
    for path, label in zip(whole.images.paths, whole.labels, strict=True):
        by_class.setdefault(label, []).append(path)
    tests: set[str] = set()
    for members in by_class.values():
        count = max(1, round(TEST_FRACTION * len(members))) if len(members) > 2 else 0
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
    """Names of the class folders, sorted.

    Raises:
        DataError: images lie there directly, or there is no class folder.
    """
    try:
        names, _ = find_classes(str(folder))
    except FileNotFoundError:
        loose = sum(child.suffix.lower() in IMG_EXTENSIONS for child in folder.iterdir())
        if loose:
            raise DataError(
                f"{folder} holds {loose:,} images and no class folders, so their labels are not known; "
                "sort them into one folder a class"
            ) from None
        raise DataError(f"{folder} has no class folders; it should have one a class, with images in it") from None
    return [name for name in names if not name.startswith(".")]


def _read_split(root: Path, split_folder: Path, class_numbers: dict[str, int]) -> RawSplit:
    unknown = [name for name in _list_class_folders(split_folder) if name not in class_numbers]
    if unknown:
        raise DataError(
            f"{split_folder / unknown[0]} is a class that train does not have; the class folders must agree"
        )
    present = {name: number for name, number in class_numbers.items() if (split_folder / name).is_dir()}
    samples = make_dataset(str(split_folder), present, extensions=IMG_EXTENSIONS, allow_empty=True)
    empty = sorted(set(present.values()) - {label for _, label in samples})
    if empty:
        name = next(name for name, number in present.items() if number == empty[0])
        raise DataError(f"{split_folder / name} holds no image ({', '.join(IMG_EXTENSIONS)}); fill it or take it away")
    paths = [os.path.relpath(path, root) for path, _ in samples]
    return RawSplit(ImageFiles(root, paths), [label for _, label in samples])


def _number_classes(root: Path, class_names: list[str]) -> dict[str, int]:
    """Class numbers: the order of ``classes.txt`` where there is one, else that of the sorted names."""
    file = root / "classes.txt"
    if not file.is_file():
        return {name: number for number, name in enumerate(class_names)}
    listed = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if sorted(listed) != class_names:
        odd = sorted(set(listed) ^ set(class_names)) or ["a name that is listed twice"]
        raise DataError(
            f"{file} and the class folders differ: {_abbreviate_names(odd)}; list each folder once, one a line"
        )
    return {name: number for number, name in enumerate(listed)}


def _abbreviate_names(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f", ... ({len(names)})" if len(names) > 6 else "")
