"""Read CIFAR-10 and CIFAR-100 in the official Python layout (pickled batches)."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from classification.data.dataset_splits import RawDataset, RawSplit, require_folder
from classification.data.image_collections import ImageArrays
from classification.data.readers.official_labels import compare_cifar_labels, describe_agreement
from engine.data.official.cifar import read_cifar_batches, read_cifar_file
from foundation.errors import DataError


def read_cifar10(root: Path) -> RawDataset:
    """Read ``cifar-10-batches-py`` below the data root.

    Raises:
        DataError: a file is missing, damaged or not a CIFAR batch.
    """
    return _read_cifar(root, CIFAR10, "labels")


def read_cifar100(root: Path) -> RawDataset:
    """Read ``cifar-100-python`` below the data root, with the 100 fine classes.

    Raises:
        DataError: a file is missing, damaged or not a CIFAR batch.
    """
    return _read_cifar(root, CIFAR100, "fine_labels")


def _read_cifar(root: Path, official: type[CIFAR10], label_key: str) -> RawDataset:
    folder = require_folder(root / official.base_folder, official.__name__)
    strange = []
    splits = {}
    # file names and MD5 sums come from torchvision's class, but not the reading: torchvision unpickles without checks
    for split, files in (("train", official.train_list), ("test", official.test_list)):
        batch = read_cifar_batches(folder, [name for name, _ in files], label_key)
        splits[split] = RawSplit(ImageArrays(batch.images, f"{folder.name} {split}"), batch.labels)
        # other files than the official ones may be used, but the record then says so
        strange += [name for name, md5 in files if not check_integrity(folder / name, md5)]
    meta = read_cifar_file(folder / official.meta["filename"])
    names = meta.get(official.meta["key"])
    if not isinstance(names, list):
        raise DataError(f"{folder / official.meta['filename']} has no list {official.meta['key']}; fetch the set again")
    labels = {split: raw.labels for split, raw in splits.items()}
    comparison = compare_cifar_labels(official.__name__.lower(), labels, [str(name) for name in names])
    deviations = (f"not the official files, by their MD5: {', '.join(strange)}",) if strange else ()
    return RawDataset(
        dict(enumerate(map(str, names))),
        splits,
        deviations + comparison.deviations,
        describe_agreement(comparison),
    )
