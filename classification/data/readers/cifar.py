"""CIFAR-10 and CIFAR-100 in the Python layout they ship in."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from classification.data.dataset_splits import Arrays, Found, Listing, require_folder
from engine.data.cifar import load_table, read_batches
from foundation.errors import DataError


def cifar10(root: Path) -> Found:
    """``cifar-10-batches-py`` below the root."""
    return _read(root, CIFAR10, "labels")


def cifar100(root: Path) -> Found:
    """``cifar-100-python`` below the root."""
    return _read(root, CIFAR100, "fine_labels")


def _read(root: Path, official: type[CIFAR10], key: str) -> Found:
    folder = require_folder(root / official.base_folder, official.__name__)
    strange = []
    splits = {}
    for split, files in (("train", official.train_list), ("test", official.test_list)):
        batch = read_batches(folder, [name for name, _ in files], key)
        splits[split] = Listing(Arrays(batch.images, f"{folder.name} {split}"), batch.labels)
        strange += [name for name, md5 in files if not check_integrity(folder / name, md5)]
    meta = load_table(folder / official.meta["filename"])
    names = meta.get(official.meta["key"])
    if not isinstance(names, list):
        raise DataError(f"{folder / official.meta['filename']} has no list {official.meta['key']}; fetch the set again")
    departures = (f"not the official files, by their MD5: {', '.join(strange)}",) if strange else ()
    return Found(dict(enumerate(map(str, names))), splits, departures)
