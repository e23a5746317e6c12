"""Decode image files by their content to 8-bit pixels; what would silently give wrong pixels is an error.

There is one decoder for each kind of data. ``open_rgb`` (Pillow) reads images to classify and to pre-train on,
``decode_bgr`` (OpenCV for JPEG, PNG and BMP, Pillow for the other formats) reads images to segment and frames to track
in, and label files are read with ``open_image`` (Pillow). docs/reference/image-files.md has the rules in a table.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError, features
from PIL.TiffImagePlugin import TiffImageFile

from engine.data.image_formats import MAX_FILE_BYTES, describe_unopened, get_pillow_formats
from engine.data.quiet_decoders import PNG_START, DamagedPngError, silence_libtiff, silence_opencv, strip_png
from foundation.errors import DataError
from foundation.storage.regular_files import open_regular, read_regular

MAX_PIXELS = 250_000_000
"""Pixels of the largest image that is decoded: 0.75 GB as RGB. The largest photograph of ImageNet has 50 million."""

# Pillow refuses above twice its bound, and only warns below that
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# remarks about damaged tags, without the file's name; what cannot be decoded raises
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# the metadata of a sound PNG may be larger than Pillow expects (1 MB): editors store a drawing's history there
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

OPENCV_DOMAINS = ("segmentation", "tracking")
"""Domains whose images ``decode_bgr`` reads, as mmcv and the toolkits of trackers do; ``open_rgb`` reads all others."""

MAX_ASPECT = 1000
"""Length of the longer side as a multiple of the shorter one. A strip of 60,000 x 1 pixels is small, and takes
gigabytes when its shorter side is resized to that of a network's input."""

_MAX_PIXELS_PER_BYTE = {"JPEG": 1024, "MPO": 1024, "PNG": 8 * 1032}
"""Pixels that a byte of a file can hold at most. A block of 8 x 8 pixels of a JPEG takes a bit or more, with Huffman
codes; and deflate makes one byte of at most 1,032 (https://zlib.net/zlib_tech.html), of which each has up to 8 pixels.
A header that claims more is a lie, which costs gigabytes."""
_MANY_PIXELS = 16_000_000

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_OPENCV_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB")
"""Formats that OpenCV decodes. It multiplies the colors of a TIFF by its transparency, and knows no HEIF or JPEG XL."""
_SUBFILE_TAG, _PHOTOMETRIC_TAG = 254, 262
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_SCAN_MARKER = 0xDA  # SOS: the compressed pixels follow
_MIN_ZERO_TAIL = 64
"""Zeros at the end of a JPEG without an end from which on it counts as a download that was never filled, in bytes."""
_DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, RuntimeError),
    *(struct.error, zlib.error),
)
"""What Pillow's readers raise for damaged files, and Python for files that cannot be read."""


def open_rgb(path: Path, takes_first_picture: bool = False) -> Image.Image:
    """Decode an image to 8-bit RGB like the usual loaders: drop transparency, do not apply the EXIF orientation.

    PIL converts gray, palette, CMYK and YCCK files. 16-bit gray files are scaled to 8 bits (PIL alone would clip all
    values above 255 to white).

    Args:
        path: the image file.
        takes_first_picture: whether the first of several pictures is meant.

    Raises:
        DataError: the file is missing, truncated, too large or not an image; names the file.
    """
    return decode_rgb(read_image_file(path), path, takes_first_picture)


def decode_rgb(data: bytes, path: object, takes_first_picture: bool = False) -> Image.Image:
    """Decode an image to 8-bit RGB as ``open_rgb`` does.

    Args:
        data: content of the file.
        path: the file, for messages.
        takes_first_picture: whether the first of several pictures is meant.

    Raises:
        DataError: the content is damaged, too large or not an image; names the file.
    """
    with open_image(data, path, takes_first_picture=takes_first_picture) as image:
        return _convert_to_rgb(image, str(path), _is_negative(image))


def decode_bgr(data: bytes, path: object, kind: str = "") -> NDArray[np.uint8]:
    """Decode an image to 8-bit BGR as ``cv2.imread`` does: drop transparency and apply the orientation.

    Args:
        data: content of the file.
        path: the file, for messages; its suffix plays no part.
        kind: what the file is, for messages, as ``the frame``.

    Returns:
        (height, width, 3), uint8.

    Raises:
        DataError: the content is damaged, too large or not an image; names the file.
    """
    import cv2

    silence_opencv()
    name = f"{kind} {path}".lstrip()
    with open_image(data, path, kind) as image:
        # the format of the content: a WebP image may be named .jpg
        if image.format not in _OPENCV_FORMATS:
            upright = _convert_to_rgb(ImageOps.exif_transpose(image), name, _is_negative(image))
            return np.ascontiguousarray(np.asarray(upright)[..., ::-1])
        if data.startswith(_JPEG_START) and find_jpeg_end(data) < 0:
            image.load()  # OpenCV before version 5 fills what is missing with gray
    try:
        data = strip_png(data) if data.startswith(PNG_START) else data
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except DamagedPngError as error:
        raise DataError(f"{name} cannot be decoded ({error}); fetch it again") from None
    except cv2.error as error:
        raise DataError(f"{name} cannot be decoded ({error.err}); fetch it again") from error
    if pixels is None:
        raise DataError(f"{name} cannot be decoded (OpenCV finds it damaged or cut off); fetch it again")
    return np.asarray(pixels, np.uint8)


def describe_decoder(domain: str) -> str:
    """Return what decodes the images of a domain, with its version and that of its JPEG library, for a record.

    Args:
        domain: domain of a task.
    """
    jpeg = features.version("libjpeg_turbo")
    pillow = f"Pillow {PIL.__version__}" + (f" with libjpeg-turbo {jpeg}" if jpeg else "")
    # a domain of a plug-in decodes as it likes; what bench offers it is open_rgb
    if domain not in OPENCV_DOMAINS:
        return pillow
    import cv2

    # the line "JPEG: build-libjpeg-turbo (ver 3.1.2-70)" of how OpenCV was built
    found = re.search(r"^\s*JPEG:\s*(\S.*?)\s*$", cv2.getBuildInformation(), re.MULTILINE)
    opencv = f"OpenCV {cv2.__version__}" + (f" with {found.group(1)}" if found else "")
    return f"{opencv} for JPEG, PNG and BMP; {pillow} for the rest"


@contextmanager
def open_image(data: bytes, path: object, kind: str = "", takes_first_picture: bool = False) -> Iterator[Image.Image]:
    """Open an image by its content for the body of ``with``; pixels are decoded there, by ``load`` or a conversion.

    Args:
        data: content of the file.
        path: the file, for messages; its suffix plays no part.
        kind: what the file is, for messages, as ``the frame``.
        takes_first_picture: whether the first of several pictures is meant.

    Raises:
        DataError: the content is not an image that can be opened here, has too many pixels or several pictures, or
            could not be decoded in the body; names the file.
    """
    name = f"{kind} {path}".lstrip()
    if not data:
        raise DataError(f"{name} cannot be decoded (0 bytes); fetch it again")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # code around bench may have set it, and what is cut off would become black
    try:
        with Image.open(io.BytesIO(data), formats=get_pillow_formats()) as image:
            _require_bounded_size(image, name)
            _require_enough_bytes(image, len(data), name)
            if isinstance(image, TiffImageFile):
                silence_libtiff()
            if not takes_first_picture:
                _require_one_picture(image, name)
            _require_filled_jpeg(data, name)
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(_describe_bound(name)) from None
    except UnidentifiedImageError:
        raise DataError(_describe_unidentified(data, path, name)) from None
    # last, because UnidentifiedImageError is an OSError
    except _DECODER_ERRORS as error:
        raise DataError(f"{name} cannot be decoded ({error}); fetch it again") from error


HEADER_ERRORS = (*_DECODER_ERRORS, Image.DecompressionBombError)
"""What ``open_header`` raises for a file that is not an image, or a damaged one."""


@contextmanager
def open_header(path: Path) -> Iterator[Image.Image]:
    """Open an image file for what its header says; its pixels are not decoded, and it may have any number of them.

    Args:
        path: the image file.

    Raises:
        Exception: one of ``HEADER_ERRORS``.
    """
    with open_regular(path) as file, Image.open(file, formats=get_pillow_formats()) as image:
        yield image


def read_orientation(data: bytes, path: object) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 for an upright image and without a tag.

    Args:
        data: content of the file.
        path: the file, for messages.

    Raises:
        DataError: the content is not an image that can be opened here.
    """
    with open_image(data, path) as image:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def find_jpeg_end(data: bytes) -> int:
    """Return where a JPEG ends, or -1 if its end is missing. More data may follow, as the video of a motion photo.

    Args:
        data: content of the file.
    """
    # nearly every file ends so, and a search through all of its bytes would take a tenth of the decoding
    if data.endswith(_JPEG_END):
        return len(data) - len(_JPEG_END)
    # Segments before the pixels are skipped by their lengths, as that of the EXIF data may hold a whole JPEG. Among
    # compressed pixels the two bytes of the end mark cannot occur: there a 0 follows each 255 (ITU T.81, B.1.1.5).
    place = len(_JPEG_START)
    while place + 4 <= len(data) and data[place] == 0xFF:
        if data[place + 1] == _SCAN_MARKER:
            return data.find(_JPEG_END, place)
        # 255 may be repeated before a marker
        place += 1 if data[place + 1] == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return -1


def _is_negative(image: Image.Image) -> bool:
    """Return whether zero is white in an opened TIFF, as in scans of X-rays (TIFF 6.0, PhotometricInterpretation)."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0


def _convert_to_rgb(image: Image.Image, name: str, is_negative: bool) -> Image.Image:
    """Decode an opened image to 8-bit RGB."""
    image.load()  # PIL opens lazily; this decodes, so that a truncated file fails here
    if image.mode in _SIXTEEN_BIT_MODES:
        return _convert_sixteen_bit(image, name, is_negative)
    if image.mode.startswith("F"):
        raise DataError(f"{name} holds floating-point pixels of unknown range; save it with 8 bits per channel")
    # transparency is dropped in any case; PIL would warn that it cannot keep that of a palette
    image.info.pop("transparency", None)
    # a conversion from RGB to RGB is a copy, which most photographs do not need: a JPEG has one picture, now decoded
    return image if image.mode == "RGB" and image.format == "JPEG" else image.convert("RGB")


def _convert_sixteen_bit(image: Image.Image, name: str, is_negative: bool) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{name} has pixels from {values.min()} to {values.max()}, not 0 to 65535; save it with 8 bits")
    # Pillow turns negatives of up to 8 bits itself
    values = 65535 - values if is_negative else values
    # 257 = 65535 / 255 maps 65535 to 255
    return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")


def _require_bounded_size(image: Image.Image, name: str) -> None:
    # beside Pillow's own check, which any code in the process may have turned off
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_describe_bound(name, f" ({image.width:,} x {image.height:,})"))
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise DataError(
            f"{name} is {image.width:,} x {image.height:,} px, one side more than {MAX_ASPECT:,} times the other; "
            "resized it would take gigabytes; cut it into pieces, or leave it out with --exclude"
        )


def _require_enough_bytes(image: Image.Image, num_bytes: int, name: str) -> None:
    """Require that a file can hold the pixels that its header claims, before memory is taken for them."""
    num_pixels = image.width * image.height
    if num_pixels > max(_MANY_PIXELS, num_bytes * _MAX_PIXELS_PER_BYTE.get(image.format or "", num_pixels)):
        raise DataError(
            f"{name} cannot be decoded (its header claims {image.width:,} x {image.height:,} px, more than "
            f"{num_bytes:,} bytes can hold); fetch it again"
        )


def _require_one_picture(image: Image.Image, name: str) -> None:
    count = _count_pictures(image)
    if count > 1:
        raise DataError(
            f"{name} holds {count} pictures (an animation or pages), and one is needed; save the one that you mean "
            "as .png, or leave the file out with --exclude"
        )


def _count_pictures(image: Image.Image) -> int:
    """Return how many pictures an opened image holds, further views of the same picture not counted."""
    count = int(getattr(image, "n_frames", 1))
    # the further pictures of a phone: depth, brightness, a preview
    if count == 1 or image.format in ("MPO", "HEIF"):
        return 1
    if not isinstance(image, TiffImageFile):
        return count
    pages = 0
    for number in range(count):
        image.seek(number)
        # TIFF 6.0, NewSubfileType: bit 0 is a version in lower resolution (maps have several), bit 2 a mask
        pages += not image.tag_v2.get(_SUBFILE_TAG, 0) & 0b101
    # the first one is decoded afterwards
    image.seek(0)
    return pages


def _require_filled_jpeg(data: bytes, name: str) -> None:
    """Require that a JPEG does not end in zeros instead of pixels, which decoders take for colors."""
    if data.startswith(_JPEG_START) and data.endswith(bytes(_MIN_ZERO_TAIL)) and find_jpeg_end(data) < 0:
        raise DataError(f"{name} cannot be decoded (it ends in zeros, as an unfinished download); fetch it again")


def _describe_bound(name: str, size: str = "") -> str:
    return (
        f"{name} has more than {MAX_PIXELS / 1e6:.0f} million pixels{size}, which would take gigabytes; make it "
        "smaller, or cut it into tiles"
    )


def _describe_unidentified(data: bytes, path: object, name: str) -> str:
    """Say what may be wrong with content that no reader of Pillow recognizes."""
    reason = describe_unopened(str(path), data)
    if reason:
        return reason
    if data.startswith((b"II*\0", b"MM\0*")):
        return (
            f"{name} cannot be decoded (a TIFF that is cut off, or has pixels of a kind that is not read, as float or "
            "more than four channels); fetch it again, or save it with 8 bits per channel as gray or RGB"
        )
    return (
        f"{name} cannot be decoded (its content is that of no image format that is read); fetch it again, or leave "
        "it out with --exclude"
    )


def read_image_file(path: Path) -> bytes:
    """Return the content of an image file, of any format.

    Raises:
        DataError: it cannot be read, is larger than any image, or is a pipe or a device; names the file.
    """
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; unpack the data set again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); fetch it again") from error
