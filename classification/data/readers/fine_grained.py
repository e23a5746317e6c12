"""Read Flowers-102, Oxford-IIIT Pet, FGVC-Aircraft and Stanford Cars with torchvision's readers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torchvision.datasets import FGVCAircraft, Flowers102, OxfordIIITPet, StanfordCars
from torchvision.datasets.utils import check_integrity

from classification.data.dataset_splits import RawDataset, RawSplit, require_folder
from classification.data.image_collections import ImageFiles
from classification.data.readers.official_labels import (
    compare_aircraft_labels,
    compare_image_labels,
    describe_agreement,
)
from foundation.errors import DataError


class _UncheckedFlowers102(Flowers102):
    """Flowers-102 without torchvision's refusal of unofficial label files; ``read_flowers`` reports them instead."""

    def _check_integrity(self) -> bool:
        return True


def read_flowers(root: Path) -> RawDataset:
    """Read ``flowers-102`` with ``jpg``, ``imagelabels.mat`` and ``setid.mat``: the official train, val and test.

    Raises:
        DataError: a file or folder is missing or damaged.
    """
    folder = require_folder(root / "flowers-102", "Flowers-102")
    deviations = []
    for kind in ("label", "setid"):
        name, md5 = Flowers102._file_dict[kind]
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing; unpack the data set again")
        if not check_integrity(folder / name, md5):
            deviations.append(f"{name} is not the official file (its MD5 differs)")
    splits = {}
    for split in ("train", "val", "test"):
        read = _read_with_torchvision(folder, _UncheckedFlowers102, root, split)
        splits[split] = RawSplit(_make_image_files(folder, read._image_files), read._labels)
    comparison = compare_image_labels("flowers", splits)
    # the files give no names; the official labels are 1 to 102, and torchvision subtracts 1
    names = {number: f"flower {number + 1}" for number in range(102)}
    return RawDataset(names, splits, (*deviations, *comparison.deviations), describe_agreement(comparison))


def read_pets(root: Path) -> RawDataset:
    """Read ``oxford-iiit-pet`` with ``images`` and ``annotations``; the classes are the 37 breeds.

    Raises:
        DataError: a file or folder is missing or damaged, or class ids and breeds do not belong together.
    """
    folder = require_folder(root / "oxford-iiit-pet", "Oxford-IIIT Pet")
    splits: dict[str, RawSplit] = {}
    names: dict[int, str] = {}
    for split, official in (("train", "trainval"), ("test", "test")):
        read = _read_with_torchvision(folder, OxfordIIITPet, root, official)
        splits[split] = RawSplit(_make_image_files(folder, read._images), read._labels)
        # torchvision's own list of class names is numbered without gaps, so it is wrong where a breed is missing; the
        # file name "great_pyrenees_12.jpg" always has the right one
        for path, label in zip(read._images, read._labels, strict=True):
            breed = path.stem.rpartition("_")[0]
            if names.setdefault(label, breed) != breed:
                raise DataError(
                    f"class id {label + 1} of {folder / 'annotations'} is {names[label]!r} and {breed!r}; fetch the "
                    "annotations again"
                )
    twice = [breed for breed, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise DataError(
            f"breed {twice[0]!r} of {folder / 'annotations'} has two class ids; fetch the annotations again"
        )
    comparison = compare_image_labels("pets", splits)
    return RawDataset(names, splits, comparison.deviations, describe_agreement(comparison))


def read_aircraft(root: Path) -> RawDataset:
    """Read ``fgvc-aircraft-2013b``; the classes are the 100 variants.

    Raises:
        DataError: a file or folder is missing or damaged.
    """
    folder = require_folder(root / "fgvc-aircraft-2013b", "FGVC-Aircraft")
    splits, classes = {}, []
    for split in ("train", "val", "test"):
        read = _read_with_torchvision(folder, FGVCAircraft, root, split)
        splits[split] = RawSplit(_make_image_files(folder, read._image_files), read._labels)
        classes = read.classes
    comparison = compare_aircraft_labels(splits, classes)
    return RawDataset(dict(enumerate(classes)), splits, comparison.deviations, describe_agreement(comparison))


def read_cars(root: Path) -> RawDataset:
    """Read ``stanford_cars``: ``devkit``, ``cars_train``, ``cars_test`` and ``cars_test_annos_withlabels.mat``.

    Raises:
        DataError: a file or folder is missing or damaged.
    """
    folder = require_folder(root / "stanford_cars", "Stanford Cars")
    splits, classes = {}, []
    for split in ("train", "test"):
        read = _read_with_torchvision(folder, StanfordCars, root, split)
        paths, labels = zip(*read._samples, strict=True)
        splits[split] = RawSplit(_make_image_files(folder, paths), [int(label) for label in labels])
        classes = read.classes
    return RawDataset(dict(enumerate(map(str, classes))), splits)


def _read_with_torchvision(folder: Path, dataset_type: Any, root: Path, split: str) -> Any:
    """Read a split with a class of torchvision and turn its errors into messages about the folder.

    Raises:
        DataError: torchvision cannot read the folder.
    """
    try:
        return dataset_type(root, split)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is missing; unpack the data set again") from None
    except Exception as error:  # torchvision and scipy raise all kinds of errors for a damaged file
        raise DataError(f"{folder} does not have the official layout ({error}); unpack the data set again") from error


def _make_image_files(folder: Path, paths: Iterable[os.PathLike[str] | str]) -> ImageFiles:
    # relative paths, so that the fingerprint is the same wherever the data are
    return ImageFiles(folder, [os.path.relpath(path, folder) for path in paths], is_official=True)
