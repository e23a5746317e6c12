"""CIFAR's Python files, read without running what a pickle may hold."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError

_ALLOWED_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
"""All that the pickles of the set name; anything else is refused, so that no file can run code."""


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which a CIFAR file does not")
        return super().find_class(module, name)


class CifarBatch(NamedTuple):
    """Images (n, 32, 32, 3) of uint8, and a label each."""

    images: NDArray[np.uint8]
    labels: list[int]


def read_cifar_batches(folder: Path, file_names: Sequence[str], label_key: str) -> CifarBatch:
    """The images of some batch files, one after the other.

    Args:
        folder: the set's folder.
        file_names: names in it.
        label_key: what the set calls its labels (``labels``, ``fine_labels``).

    Raises:
        DataError: a file that is missing, is no CIFAR batch, or names code.
    """
    parts = [_parse_batch(read_cifar_file(folder / name), label_key, folder / name) for name in file_names]
    return CifarBatch(
        np.concatenate([images for images, _ in parts]), [label for _, labels in parts for label in labels]
    )


def read_cifar_file(path: Path) -> dict[str, Any]:
    """The table a file holds.

    Raises:
        DataError: missing, or not a table of plain data.
    """
    try:
        content = _RestrictedUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; unpack the data set again") from None
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not a table; fetch it again")
    return content


def _parse_batch(content: dict[str, Any], label_key: str, path: Path) -> tuple[Any, list[int]]:
    pixels, labels = content.get("data"), content.get(label_key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise DataError(f"{path} has no array 'data' of n x 3072 bytes; fetch it again")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError(f"{path} has {len(pixels)} images and no list {label_key!r} as long; fetch it again")
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), [int(label) for label in labels]
