"""Read ImageNet: one folder per synset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from timm.data import ImageNetInfo
from torchvision.datasets.folder import find_classes

from classification.data.dataset_splits import RawDataset, RawSplit, require_folder
from classification.data.image_collections import ImageFiles, ShardedImages
from engine.data.image_formats import IMAGE_SUFFIXES
from engine.data.shards.image_shards import ImageShards, has_shards
from engine.data.split_folders import require_read_formats
from foundation.errors import DataError
from foundation.files import iter_files


def read_imagenet(root: Path) -> RawDataset:
    """Read ``imagenet/train`` and ``imagenet/val`` with one folder per synset, or archives; val is the test split.

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
    if has_shards(split_folder):
        return _read_sharded_split(folder, name, official)
    strange = [child for child in _list_class_folders(split_folder) if child not in official]
    if strange:
        raise DataError(
            f"{split_folder / strange[0]} is not named by an ImageNet synset (n01440764 ...), so class numbers "
            "would not be the official ones; name the folders by synset, or run task imagefolder on them"
        )
    # class numbers come from the official list and not from the folders: with a missing folder all later classes
    # would move by one
    return _read_split(folder, split_folder, {synset: number for number, synset in enumerate(official)})


def _read_sharded_split(folder: Path, name: str, official: Sequence[str]) -> RawSplit:
    """Read a split from archives: of one class each, or of images in folders or with their class numbers."""
    shards = ImageShards(folder, name)
    known: dict[str | int, int] = {number: number for number in range(len(official))}
    known |= {synset: number for number, synset in enumerate(official)}
    for index, label in enumerate(shards.classes):
        if label not in known:
            raise DataError(
                f"{shards.describe_image(index)} has the class {label!r}, which is neither an ImageNet synset "
                f"(n01440764 ...) nor a number from 0 to {len(official) - 1}; make the archive again"
            )
    return RawSplit(ShardedImages(shards), [known[label] for label in shards.classes])


def read_imagenet_test(root: Path) -> RawDataset:
    """Read ``imagenet/val`` alone, as ``read_imagenet`` reads it; nobody needs train to test a finished model.

    Raises:
        DataError: as ``read_imagenet``.
    """
    folder = require_folder(root / "imagenet", "ImageNet")
    official = ImageNetInfo("imagenet-1k").label_names()
    return RawDataset(dict(enumerate(official)), {"test": _read_imagenet_split(folder, "val", official)})


def _list_class_folders(folder: Path) -> list[str]:
    """Return the names of the class folders, sorted.

    Raises:
        DataError: the folder holds images directly, or no class folder.
    """
    try:
        names, _ = find_classes(str(folder))
    except FileNotFoundError:
        loose = sum(child.suffix.lower() in IMAGE_SUFFIXES for child in folder.iterdir())
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
        DataError: a class folder without images.
    """
    present = {name: number for name, number in class_numbers.items() if (split_folder / name).is_dir()}
    paths: list[str] = []
    labels: list[int] = []
    for name in sorted(present):
        # not torchvision's make_dataset: it takes hidden files (.ipynb_checkpoints, ._0.jpg) for images, and enters a
        # link to its own folder forty times; the order is that of make_dataset
        files = sorted(map(str, iter_files(split_folder / name)), key=os.path.split)
        require_read_formats(files)
        images = [os.path.relpath(path, root) for path in files if path.lower().endswith(IMAGE_SUFFIXES)]
        if not images:
            raise DataError(f"{split_folder / name} holds no image ({', '.join(IMAGE_SUFFIXES)}); fill it or remove it")
        paths += images
        labels += [present[name]] * len(images)
    return RawSplit(ImageFiles(root, paths, is_official=True), labels)
