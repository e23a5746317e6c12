"""Read the sizes, channels and formats of many images from their headers; no pixel is decoded. Imports no torch."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL import Image

from engine.data.image_formats import get_pillow_formats
from engine.data.item_limits import spread_indices

MAX_HEADERS = 4_000
"""Files of a split whose headers are read; of a larger one, a fixed part that is spread evenly."""

_PIXEL_KINDS = {
    "1": "black and white, 1 bit",
    "L": "gray, 8 bit",
    "LA": "gray with transparency, 8 bit",
    "P": "palette, 8 bit",
    "PA": "palette with transparency, 8 bit",
    "RGB": "RGB, 8 bit",
    "RGBA": "RGB with transparency, 8 bit",
    "CMYK": "CMYK, 8 bit",
    "YCbCr": "YCbCr, 8 bit",
    "LAB": "Lab, 8 bit",
    "I": "gray, 32 bit",
    "F": "gray, floating point",
}

_SUFFIXES_OF_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}


class ImageHeader(NamedTuple):
    """What the first bytes of an image file say.

    Attributes:
        name: name of the file within the data set.
        size: width and height, pixels, as stored.
        pixels: channels and depth, in words.
        file_format: Pillow's name of the format; ``pixels in memory`` without a file, "" for what cannot be opened.
        is_turned: whether an EXIF tag says to turn or mirror the image for display.
    """

    name: str
    size: tuple[int, int]
    pixels: str
    file_format: str
    is_turned: bool = False


@dataclass(frozen=True)
class ImageFacts:
    """The headers of the images of a split.

    Attributes:
        opened: number of images whose headers were read.
        smallest, median, largest: sizes by area, width and height in pixels.
        most_common: the most frequent size, and the number of images that have it.
        pixels: number of images by channels and depth.
        formats: number of images by file format.
        turned: number of images with an EXIF tag that turns or mirrors them.
        misnamed: names of files whose suffix says another format, the first three.
        num_misnamed: number of such files.
    """

    opened: int
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    most_common: tuple[tuple[int, int], int]
    pixels: Mapping[str, int]
    formats: Mapping[str, int]
    turned: int
    misnamed: tuple[str, ...]
    num_misnamed: int


class ReadableFile(Protocol):
    """A file on disk or in an archive."""

    @property
    def name(self) -> str:
        """Return the file's own name."""

    def read_bytes(self) -> bytes:
        """Return its content."""


def read_header(file: Path | ReadableFile, name: str) -> ImageHeader:
    """Read the header of an image; one that cannot be opened has no format.

    Args:
        file: the image file.
        name: name of the image within the data set.
    """
    try:
        # the readers that decode images, so that no other one takes part
        source = file if isinstance(file, Path) else io.BytesIO(file.read_bytes())
        with Image.open(source, formats=get_pillow_formats()) as image:
            # the raw mode of the decoder is the only place where Pillow keeps the depth
            depth = str(image.tile[0][3]) if image.tile else ""
            pixels = _PIXEL_KINDS.get(image.mode, image.mode)
            if image.mode.startswith("I;16") or ";16" in depth:  # Pillow opens color of 16 bits as RGB
                pixels = f"{'gray' if image.mode.startswith('I') else image.mode}, 16 bit"
            # asking a PNG for its EXIF tags decodes all of it
            has_tags = image.format in ("JPEG", "MPO", "WEBP")
            is_turned = has_tags and image.getexif().get(0x0112, 1) not in (0, 1)
            return ImageHeader(name, image.size, pixels, image.format or "", is_turned)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ImageHeader(name, (0, 0), "", "")


def describe_pixels(image: Image.Image, name: str) -> ImageHeader:
    """Return the header of an image that is in memory.

    Args:
        image: the image.
        name: name of the image within the data set.
    """
    return ImageHeader(name, image.size, _PIXEL_KINDS.get(image.mode, image.mode), "pixels in memory")


def choose_headers(num_items: int) -> list[int]:
    """Return which items of a split have their headers read."""
    return list(spread_indices(num_items, MAX_HEADERS))


def read_headers(read: Callable[[int], ImageHeader], num_items: int) -> list[ImageHeader]:
    """Read the headers of a split, or of a fixed part of a large one.

    Args:
        read: reads the header of an item.
        num_items: number of items.
    """
    # threads help where files are on a slow disk: a header is mostly waiting
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(read, choose_headers(num_items)))


def collect_image_facts(headers: Iterable[ImageHeader]) -> ImageFacts | None:
    """Summarize headers; ``None`` if no image could be opened."""
    opened = [header for header in headers if header.file_format]
    if not opened:
        return None
    # by area, then by width, so that the three sizes are those of real images
    sizes = sorted((header.size for header in opened), key=lambda size: (size[0] * size[1], size))
    misnamed = [header.name for header in opened if _is_misnamed(header)]
    return ImageFacts(
        len(opened),
        sizes[0],
        sizes[len(sizes) // 2],
        sizes[-1],
        Counter(sizes).most_common(1)[0],
        dict(Counter(header.pixels for header in opened).most_common()),
        dict(Counter(header.file_format for header in opened).most_common()),
        sum(header.is_turned for header in opened),
        tuple(misnamed[:3]),
        len(misnamed),
    )


def _is_misnamed(header: ImageHeader) -> bool:
    suffixes = _SUFFIXES_OF_FORMATS.get(header.file_format)
    return suffixes is not None and not header.name.lower().endswith(suffixes)
