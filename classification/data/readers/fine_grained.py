"""Flowers-102, Oxford-IIIT Pet, FGVC-Aircraft and Stanford Cars, by torchvision's readers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torchvision.datasets import FGVCAircraft, Flowers102, OxfordIIITPet, StanfordCars
from torchvision.datasets.utils import check_integrity

from classification.data.dataset_splits import ImageFiles, RawDataset, RawSplit, require_folder
from foundation.errors import DataError


class _UncheckedFlowers102(Flowers102):
    """torchvision refuses label files that are not the official ones; here they are a deviation that is named."""

    def _check_integrity(self) -> bool:
        return True


def read_flowers(root: Path) -> RawDataset:
    """``flowers-102`` with ``jpg``, ``imagelabels.mat`` and ``setid.mat``; the official train, val and test (tstid)."""
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
    return RawDataset({number: f"flower {number + 1}" for number in range(102)}, splits, tuple(deviations))


def read_pets(root: Path) -> RawDataset:
    """``oxford-iiit-pet`` with ``images`` and ``annotations``; classes are the 37 breeds."""
    folder = require_folder(root / "oxford-iiit-pet", "Oxford-IIIT Pet")
    splits: dict[str, RawSplit] = {}
    names: dict[int, str] = {}
    for split, official in (("train", "trainval"), ("test", "test")):
        read = _read_with_torchvision(folder, OxfordIIITPet, root, official)
        splits[split] = RawSplit(_make_image_files(folder, read._images), read._labels)
        # torchvision numbers its class names anew, which is wrong where a breed is missing
        for path, label in zip(read._images, read._labels, strict=True):
            breed = path.stem.rpartition("_")[0]
            if names.setdefault(label, breed) != breed:
                place = folder / "annotations"
                raise DataError(f"class id {label + 1} of {place} is {names[label]!r} and {breed!r}; fetch it again")
    return RawDataset(names, splits)


def read_aircraft(root: Path) -> RawDataset:
    """``fgvc-aircraft-2013b/data``; classes are the 100 variants."""
    folder = require_folder(root / "fgvc-aircraft-2013b", "FGVC-Aircraft")
    splits, classes = {}, []
    for split in ("train", "val", "test"):
        read = _read_with_torchvision(folder, FGVCAircraft, root, split)
        splits[split] = RawSplit(_make_image_files(folder, read._image_files), read._labels)
        classes = read.classes
    return RawDataset(dict(enumerate(classes)), splits)


def read_cars(root: Path) -> RawDataset:
    """``stanford_cars`` with ``devkit``, ``cars_train``, ``cars_test`` and ``cars_test_annos_withlabels.mat``."""
    folder = require_folder(root / "stanford_cars", "Stanford Cars")
    splits, classes = {}, []
    for split in ("train", "test"):
        read = _read_with_torchvision(folder, StanfordCars, root, split)
        paths, labels = zip(*read._samples, strict=True)
        splits[split] = RawSplit(_make_image_files(folder, paths), [int(label) for label in labels])
        classes = read.classes
    return RawDataset(dict(enumerate(map(str, classes))), splits)


def _read_with_torchvision(folder: Path, dataset_type: Any, root: Path, split: str) -> Any:
    """What a reader of torchvision finds; its errors as sentences about the folder."""
    try:
        return dataset_type(root, split)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is missing; unpack the data set again") from None
    except Exception as error:
        raise DataError(f"{folder} does not hold the set in its own layout ({error}); unpack it again") from error


def _make_image_files(folder: Path, paths: Iterable[os.PathLike[str] | str]) -> ImageFiles:
    return ImageFiles(folder, [os.path.relpath(path, folder) for path in paths])
