"""Image and label files as arrays; whatever is wrong with one is a sentence with its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.errors import DataError
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.labels import LabelSpace

ImageArray = NDArray[np.uint8]

_JPEG_END_MARKER = b"\xff\xd9"


def read_bgr_image(path: Path) -> ImageArray:
    """An image as (height, width, 3), BGR, as mmcv reads it (OpenCV, orientation tags heeded).

    Raises:
        DataError: no image that can be decoded, or a JPEG that was cut off (decoders fill the rest with grey).
    """
    data = _read_bytes(path)
    cut = path.suffix.lower() in (".jpg", ".jpeg") and _JPEG_END_MARKER not in data[-4096:]
    image = None if cut or not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"the image {path} cannot be decoded ({len(data)} bytes, cut off or damaged); fetch it anew")
    return np.asarray(image, np.uint8)


def read_raw_labels(path: Path) -> NDArray[np.int64]:
    """The numbers in a label PNG, (height, width), as they stand in the file.

    Raises:
        DataError: it cannot be decoded, or is a colour image.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            mode, numbers = picture.mode, np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:  # PIL's own for damaged files
        raise DataError(f"the label file {path} cannot be decoded ({error}); fetch it anew") from error
    if numbers.ndim != 2:
        raise DataError(
            f"the label file {path} is a colour image ({mode}); a label file has one number a pixel (8-bit grey or "
            "palette), so convert its colours to class numbers"
        )
    return numbers.astype(np.int64)


def read_label_map(path: Path, label_space: LabelSpace) -> ImageArray:
    """The class numbers in a label PNG, (height, width), with 255 where pixels do not count.

    Raises:
        DataError: unreadable, a colour image, or with a number that the label space does not have.
    """
    numbers = read_raw_labels(path)
    require_valid_labels(numbers, path, label_space)
    return np.asarray(label_space.make_lookup_table(), np.int16)[numbers].astype(np.uint8)


def require_valid_labels(raw_labels: NDArray[np.int64], path: Path, label_space: LabelSpace) -> None:
    """Pass only numbers that the label space has.

    Raises:
        DataError: naming the file and the first wrong number.
    """
    table = np.full(1 << 16, -1)
    table[:256] = label_space.make_lookup_table()
    seen = np.unique(raw_labels)
    wrong = seen[(seen < 0) | (seen >= len(table)) | (table[np.clip(seen, 0, len(table) - 1)] < 0)]
    if wrong.size:
        hint = ""
        if label_space.first_label == 1 and 255 in wrong:
            hint = " (255 looks like labels that were already shifted by one: take the set's own files)"
        raise DataError(f"the label file {path} has label {int(wrong[0])}, but {label_space.describe_labels()}{hint}")


def read_image_pair(pair: ImageLabelPair, label_space: LabelSpace) -> tuple[ImageArray, ImageArray]:
    """Image (height, width, 3) and class numbers (height, width) of a pair.

    Raises:
        DataError: see ``read_bgr_image`` and ``read_label_map``; or the two differ in size.
    """
    image, labels = read_bgr_image(pair.image_path), read_label_map(pair.label_path, label_space)
    require_same_size(image, labels, pair)
    return image, labels


def require_same_size(image: ImageArray, labels: NDArray[Any], pair: ImageLabelPair) -> None:
    """Pass only an image and labels of one size.

    Raises:
        DataError: naming both files and sizes.
    """
    if image.shape[:2] != labels.shape:
        raise DataError(
            f"{pair.image_path} is {_format_size(image)} px but its label file "
            f"{pair.label_path} is {_format_size(labels)}; "
            "the two must be of one size, so fetch both anew"
        )


def _format_size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
