"""Read image and label files as arrays; an error names the file, what is wrong with it and how to fix it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from engine.data.decode import decode_bgr, open_image, read_orientation
from engine.data.image_formats import MAX_FILE_BYTES
from foundation.errors import DataError
from foundation.storage.regular_files import read_regular
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.label_colors import read_color_labels
from segmentation.data.label_hints import explain_wrong_labels
from segmentation.data.labels import LabelSpace

ImageArray = NDArray[np.uint8]

_EXACT_FORMATS = ("PNG", "BMP", "DIB", "TIFF", "GIF", "PPM")
"""Formats that keep label values; the others change them, or may."""
_LOSSY_COMPRESSIONS = ("jpeg", "tiff_jpeg", "webp")
"""What Pillow calls the compressions that may change values inside of these formats."""
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTH, _PNG_COLOR_TYPE = 24, 25
"""Places of the two numbers in a PNG, whose first chunk is always the header."""


def read_bgr_image(path: Path) -> ImageArray:
    """Read an image as mmcv does (OpenCV, with the orientation tag applied).

    Returns:
        (height, width, 3), uint8 BGR.

    Raises:
        DataError: the file cannot be decoded, or is a JPEG that was cut off.
    """
    return decode_bgr(_read_bytes(path), path, "the image")


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
        (height, width), int64; for a palette image the palette indices, for a 1-bit image 0 and 1.

    Raises:
        DataError: the file cannot be decoded, is a color image, or of a format that changes values.
    """
    picture = _open_label_file(data, path)
    mode, values = picture.mode, np.asarray(picture)
    if mode in ("LA", "PA"):
        raise DataError(
            f"the label file {path} has a channel of transparency ({mode}) beside its numbers; save it without one, as "
            "8-bit gray or palette"
        )
    if values.ndim != 2:
        raise DataError(
            f"the label file {path} is a color image ({mode}); a label file has one number per pixel (8-bit gray or "
            "palette), so convert its colors to class numbers, or give a segfolder a table of them (a class_dict.csv "
            "with name,r,g,b in it, or --colours FILE)"
        )
    # a conversion to whole numbers would turn 0.9 into class 0
    if values.dtype.kind == "f":
        raise DataError(f"the label file {path} holds floating-point numbers; save its class numbers as an 8-bit .png")
    labels = values.astype(np.int64)
    factor = _find_gray_factor(data)
    return labels if factor == 1 else labels // factor


def _open_label_file(data: bytes, path: Path) -> Image.Image:
    """Decode a label file, which is turned as the image is; require that its format keeps the labels."""
    with open_image(data, path, "the label file") as picture:
        if picture.format not in _EXACT_FORMATS:
            raise DataError(
                f"the label file {path} is a {picture.format} image, whose compression changes label values; export "
                "the labels as .png"
            )
        # TIFF and others may hold JPEG data
        if (compression := str(picture.info.get("compression", ""))).startswith(_LOSSY_COMPRESSIONS):
            raise DataError(
                f"the label file {path} is a {picture.format} image with {compression.upper()} compression, which "
                "changes label values; export the labels as .png"
            )
        picture.load()
        # PIL and not OpenCV, which would turn a palette into BGR
        return ImageOps.exif_transpose(picture)


def _find_gray_factor(data: bytes) -> int:
    """Return by what PIL multiplies the values of a gray PNG with 2 or 4 bits, to fill the range up to 255."""
    is_gray = data.startswith(_PNG_START) and data[_PNG_COLOR_TYPE] == 0
    return {2: 85, 4: 17}.get(data[_PNG_BIT_DEPTH], 1) if is_gray else 1


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
    if label_space.colors:
        return read_color_labels(_open_label_file(data, path), path, label_space)
    return decode_raw_labels(data, path)


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
    if image.shape[:2] == labels.shape:
        return
    # square images, and half turns, fit either way and cannot be told apart
    cause = "the two must have the same size, so fetch both again"
    if image.shape[:2] == labels.shape[::-1] and read_orientation(_read_bytes(pair.image_path), pair.image_path) > 1:
        cause = (
            "the image is turned as its EXIF orientation says, and the labels were drawn on the image as it is stored; "
            "turn the label file likewise, or remove the tag from the image"
        )
    raise DataError(
        f"{pair.image_path} is {_format_size(image)} px but its label file "
        f"{pair.label_path} is {_format_size(labels)}; {cause}"
    )


def _format_size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
