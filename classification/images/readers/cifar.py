"""CIFAR-10 and CIFAR-100 in the Python layout they ship in."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from classification.images.data import Arrays, Found, Listing, require_folder
from foundation.errors import DataError

_PLAIN = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
"""All that the pickles of the set name; anything else is refused, so that no file can run code."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which a CIFAR file does not")
        return super().find_class(module, name)


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
        pixels, labels = [], []
        for name, md5 in files:
            content = _load(folder / name)
            images, numbers = _entry(content, key, folder / name)
            pixels.append(images)
            labels += numbers
            if not check_integrity(folder / name, md5):
                strange.append(name)
        splits[split] = Listing(Arrays(np.concatenate(pixels), f"{folder.name} {split}"), labels)
    meta = _load(folder / official.meta["filename"])
    names = meta.get(official.meta["key"])
    if not isinstance(names, list):
        raise DataError(f"{folder / official.meta['filename']} has no list {official.meta['key']}; fetch the set again")
    departures = (f"not the official files, by their MD5: {', '.join(strange)}",) if strange else ()
    return Found(dict(enumerate(map(str, names))), splits, departures)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = _Plain(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; unpack the data set again") from None
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not a table; fetch it again")
    return content


def _entry(content: dict[str, Any], key: str, path: Path) -> tuple[Any, list[int]]:
    pixels, labels = content.get("data"), content.get(key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise DataError(f"{path} has no array 'data' of n x 3072 bytes; fetch it again")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError(f"{path} has {len(pixels)} images and no list {key!r} as long; fetch it again")
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), [int(label) for label in labels]
