"""Read CIFAR's Python files without executing code that a pickle may contain."""

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
    ("numpy._core.multiarray", "_reconstruct"),  # numpy 2 renamed numpy.core
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
"""All (module, name) pairs that CIFAR's pickles refer to; any other one is refused, so that no file can run code."""


class _RestrictedUnpickler(pickle.Unpickler):
    # A pickle can call any function that find_class returns, so this is the only place to stop it.
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which a CIFAR file does not")
        return super().find_class(module, name)


class CifarBatch(NamedTuple):
    """Images with their labels.

    Attributes:
        images: (n, 32, 32, 3) uint8, RGB.
        labels: n class indices.
    """

    images: NDArray[np.uint8]
    labels: list[int]


def read_cifar_batches(folder: Path, file_names: Sequence[str], label_key: str) -> CifarBatch:
    """Read batch files and concatenate their images.

    Args:
        folder: folder of the data set.
        file_names: names of the batch files.
        label_key: key of the labels in the files (``labels``, ``fine_labels``).

    Raises:
        DataError: a file is missing, is not a CIFAR batch, or refers to code.
    """
    parts = [_parse_batch(read_cifar_file(folder / name), label_key, folder / name) for name in file_names]
    return CifarBatch(
        np.concatenate([images for images, _ in parts]), [label for _, labels in parts for label in labels]
    )


def read_cifar_file(path: Path) -> dict[str, Any]:
    """Read the dictionary that a file contains.

    Args:
        path: the file.

    Raises:
        DataError: the file is missing, or is not a dictionary of plain data.
    """
    try:
        # latin1: the files are pickles of Python 2, whose byte strings (keys, arrays) must be decoded to text
        content = _RestrictedUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; unpack the data set again") from None
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}); download it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not a table; download it again")
    return content


def _parse_batch(content: dict[str, Any], label_key: str, path: Path) -> tuple[Any, list[int]]:
    pixels, labels = content.get("data"), content.get(label_key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise DataError(f"{path} has no array 'data' of n x 3072 bytes; download it again")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError(
            f"{path} has {len(pixels)} images but no list {label_key!r} of the same length; download it again"
        )
    # a row holds the red, green and blue planes after each other: (n, 3072) to (n, 3, 32, 32) to (n, 32, 32, 3)
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), [int(label) for label in labels]
