"""Read image and label files as arrays; an error names the file, what is wrong with it and how to fix it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.errors import DataError
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.label_colors import decode_color_labels
from segmentation.data.label_hints import explain_wrong_labels
from segmentation.data.labels import LabelSpace

ImageArray = NDArray[np.uint8]

_JPEG_END_MARKER = b"\xff\xd9"  # EOI, the last two bytes of a complete JPEG


def read_bgr_image(path: Path) -> ImageArray:
    """Read an image as mmcv does (OpenCV, with the orientation tag applied).

    Returns:
        (height, width, 3), uint8 BGR.

    Raises:
        DataError: the file cannot be decoded, or is a JPEG that was cut off.
    """
    data = _read_bytes(path)
    # decoders fill the missing part of a cut JPEG with gray and report no error, so the end marker is checked first;
    # some cameras append a few bytes after it
    cut = path.suffix.lower() in (".jpg", ".jpeg") and _JPEG_END_MARKER not in data[-4096:]
    image = None if cut or not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"the image {path} cannot be decoded ({len(data)} bytes, cut off or damaged); fetch it again")
    return np.asarray(image, np.uint8)


def read_raw_labels(path: Path) -> NDArray[np.int64]:
    """Read the label values of a label PNG, unchanged.

    Returns:
        (height, width), int64; for a palette image the palette indices.

    Raises:
        DataError: the file cannot be decoded, or is a color image.
    """
    return decode_raw_labels(_read_bytes(path), path)


def decode_raw_labels(data: bytes, path: Path) -> NDArray[np.int64]:
    """Decode the label values of a label PNG that was read already.

    Args:
        data: the content of the file.
        path: the file, for messages.

    Returns:
        (height, width), int64; for a palette image the palette indices.

    Raises:
        DataError: the file cannot be decoded, or is a color image.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            mode, values = picture.mode, np.asarray(picture)  # PIL and not OpenCV, which would turn a palette into BGR
    except (OSError, ValueError, SyntaxError) as error:  # PIL raises SyntaxError for a damaged PNG
        raise DataError(f"the label file {path} cannot be decoded ({error}); fetch it again") from error
    if values.ndim != 2:
        raise DataError(
            f"the label file {path} is a color image ({mode}); a label file has one number per pixel (8-bit gray or "
            "palette), so convert its colors to class numbers, or give a segfolder a table of them (a class_dict.csv "
            "with name,r,g,b in it, or --colours FILE)"
        )
    return values.astype(np.int64)


def read_label_values(path: Path, label_space: LabelSpace) -> NDArray[np.int64]:
    """Read the label values of a label file; where colors stand for classes, the number of each color.

    Returns:
        (height, width), int64.

    Raises:
        DataError: the file cannot be decoded, is a color image without a table of colors, or has a color that the
            table lacks.
    """
    return decode_label_values(_read_bytes(path), path, label_space)


def decode_label_values(data: bytes, path: Path, label_space: LabelSpace) -> NDArray[np.int64]:
    """Decode a label file that was read already; see ``read_label_values``."""
    return decode_color_labels(data, path, label_space) if label_space.colors else decode_raw_labels(data, path)


def read_label_map(path: Path, label_space: LabelSpace) -> ImageArray:
    """Read a label PNG as class indices.

    Returns:
        Class indices, (height, width), uint8; 255 where a pixel is ignored.

    Raises:
        DataError: the file is unreadable, a color image, or has a label that the label space does not allow.
    """
    numbers = read_label_values(path, label_space)
    require_valid_labels(numbers, path, label_space)
    return np.asarray(label_space.make_lookup_table(), np.int16)[numbers].astype(np.uint8)


def require_valid_labels(
    raw_labels: NDArray[np.int64], path: Path, label_space: LabelSpace, total: NDArray[np.int64] | None = None
) -> None:
    """Require that every label is one that the label space allows.

    Args:
        raw_labels: label values as they are in the file, (height, width).
        path: the label file, for the message.
        label_space: the classes and how label files number them.
        total: pixels of each label value in all label files, (256,), where they are known; chooses the advice.

    Raises:
        DataError: a label is not allowed; the message names the file and the smallest wrong label.
    """
    # label PNGs may have 16 bits per pixel: of those 65,536 values only the first 256 can be allowed
    table = np.full(1 << 16, -1)
    table[:256] = label_space.make_lookup_table()
    seen = np.unique(raw_labels)
    # np.clip keeps the look-up in range for values that the first two conditions refuse anyway
    wrong = seen[(seen < 0) | (seen >= len(table)) | (table[np.clip(seen, 0, len(table) - 1)] < 0)]
    if wrong.size:
        hint = explain_wrong_labels(wrong.tolist(), label_space, total)
        raise DataError(f"the label file {path} has label {int(wrong[0])}, but {label_space.describe_labels()}{hint}")


def read_image_pair(pair: ImageLabelPair, label_space: LabelSpace) -> tuple[ImageArray, ImageArray]:
    """Read an image and its labels.

    Returns:
        The image (height, width, 3), uint8 BGR, and its class indices (height, width), uint8.

    Raises:
        DataError: see ``read_bgr_image`` and ``read_label_map``; or the two differ in size.
    """
    image, labels = read_bgr_image(pair.image_path), read_label_map(pair.label_path, label_space)
    require_same_size(image, labels, pair)
    return image, labels


def require_same_size(image: ImageArray, labels: NDArray[Any], pair: ImageLabelPair) -> None:
    """Require that an image and its labels have the same height and width.

    Raises:
        DataError: they differ; the message names both files and their sizes.
    """
    if image.shape[:2] != labels.shape:
        raise DataError(
            f"{pair.image_path} is {_format_size(image)} px but its label file "
            f"{pair.label_path} is {_format_size(labels)}; "
            "the two must have the same size, so fetch both again"
        )


def _format_size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
