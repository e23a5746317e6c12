"""The image formats that bench opens in a user's folder, the same for every task, and which extra opens the others."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image, features

IMAGES_EXTRA = "pip install 'litevit-bench[images]'"

MAX_FILE_BYTES = 10**9
"""Size of the largest image, label file or table that is read: 250 million pixels of 32 bits without compression."""


class OptionalFormat(NamedTuple):
    """A format that Pillow opens only with a package, or where it was built with a library.

    Attributes:
        name: name of the format, for messages.
        pillow_names: Pillow's names of its readers.
        suffixes: suffixes of its files, in lower case.
        is_present: whether it can be opened on this machine.
    """

    name: str
    pillow_names: tuple[str, ...]
    suffixes: tuple[str, ...]
    is_present: bool


OPTIONAL_FORMATS = (
    OptionalFormat("WebP", ("WEBP",), (".webp",), features.check("webp") is True),
    OptionalFormat("JPEG 2000", ("JPEG2000",), (".jp2", ".j2k"), features.check("jpg_2000") is True),
    # Pillow reads AVIF itself from version 11.3 on
    OptionalFormat(
        "AVIF",
        ("AVIF",),
        (".avif",),
        ("avif" in features.modules and features.check("avif") is True) or find_spec("pillow_avif") is not None,
    ),
    OptionalFormat("HEIF", ("HEIF",), (".heic", ".heif", ".hif"), find_spec("pillow_heif") is not None),
    OptionalFormat("JPEG XL", ("JXL",), (".jxl",), find_spec("pillow_jxl") is not None),
)
"""Formats that some machines cannot open; the packages are those of the extra ``images``."""

_ALWAYS_OPENED = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
IMAGE_SUFFIXES: tuple[str, ...] = (
    *_ALWAYS_OPENED,
    *(suffix for each in OPTIONAL_FORMATS if each.is_present for suffix in each.suffixes),
)
"""Suffixes, in lower case, of the images that can be opened on this machine. Files are opened by their content."""

_NEVER_OPENED = (
    *(".ico", ".psd", ".svg", ".eps", ".tga", ".exr", ".hdr", ".dds", ".qoi", ".xcf", ".ai"),
    *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"),  # raw files of cameras
    *(".dcm", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"),  # medicine: their range of values needs a decision
)
UNREAD_IMAGE_SUFFIXES: tuple[str, ...] = (
    *_NEVER_OPENED,
    *(suffix for each in OPTIONAL_FORMATS if not each.is_present for suffix in each.suffixes),
)
"""Suffixes, in lower case, of images that cannot be opened here; beside others they must not be left out silently."""

_ISO_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF"),
}
"""Brands in the first box of a file, which say whether it is an AVIF or a HEIF image (ISO/IEC 23008-12)."""


def is_image_name(name: str) -> bool:
    """Return whether a file with this name is an image that can be opened on this machine.

    Args:
        name: name or path of the file.
    """
    return name.lower().endswith(IMAGE_SUFFIXES)


def describe_unopened(path: Path | str, content: bytes | None = None) -> str:
    """Say why an image is not opened on this machine and what opens it; empty for a file that is not such an image.

    The suffix decides, and for any other file its first bytes: phones write HEIF images that are renamed to .jpg.

    Args:
        path: the file; it need not exist.
        content: what it holds, at least its first bytes; ``None`` to look there.
    """
    name = str(path)
    found = next((each for each in OPTIONAL_FORMATS if name.lower().endswith(each.suffixes)), None)
    # a raw file of a camera begins as a TIFF does, so that its name has to decide
    if found is None and not name.lower().endswith(_NEVER_OPENED):
        found = _find_format(_read_head(Path(path)) if content is None else content)
    if found is not None:
        if found.is_present:
            return ""
        return f"{path} is an image in the format {found.name}, which needs an extra; {IMAGES_EXTRA}"
    if name.lower().endswith(_NEVER_OPENED):
        return f"{path} is an image in a format that bench does not open; convert it to .png"
    return ""


def _read_head(path: Path) -> bytes:
    """Return the first bytes of a file; none if it cannot be read, which its reader says better."""
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError:
        return b""


def _find_format(head: bytes) -> OptionalFormat | None:
    """Return the optional format that the first bytes of a file name, if they do."""
    name = _ISO_BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None
    # a bare codestream, or one in a container (ISO/IEC 18181-2)
    if head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n")):
        name = "JPEG XL"
    return next((each for each in OPTIONAL_FORMATS if each.name == name), None)


@cache
def get_pillow_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are opened; the readers of optional packages are registered first.

    Other readers of Pillow are not asked: some of them start a program (EPS) or hold no picture (HDF5).
    """
    if find_spec("pillow_heif") is not None:
        import_module("pillow_heif").register_heif_opener()
    for module in ("pillow_jxl", "pillow_avif"):
        if find_spec(module) is not None:
            import_module(module)
    Image.init()
    # MPO has no reader of its own: that of JPEG opens it
    wanted = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "GIF", "PPM")
    optional = (name for each in OPTIONAL_FORMATS if each.is_present for name in each.pillow_names)
    return tuple(name for name in (*wanted, *optional) if name in Image.OPEN)
