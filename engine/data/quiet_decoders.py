"""Keep decoder libraries from writing to stderr beside our own sentence.

A library that writes there names no file and repeats what our sentence says. None of the means here redirects stderr,
which would hide what other threads write at the same time. What libjpeg says of damaged pixels that it decodes all the
same ("Corrupt JPEG data") stays visible, since it is about the numbers, and cannot be turned off in OpenCV.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import zlib
from functools import cache
from pathlib import Path

PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"

# metadata of a PNG that changes no pixel in OpenCV, which applies no color profile; libpng complains about many of them
_REMARK_CHUNKS = frozenset(
    b"iCCP sRGB cHRM gAMA cICP mDCV cLLI sBIT hIST sPLT tEXt zTXt iTXt tIME pHYs oFFs pCAL sCAL sTER".split()
)
_LIBRARY_MAP = Path("/proc/self/maps")
"""Where Linux lists the libraries that a process has loaded."""


class DamagedPngError(ValueError):
    """The chunks of a PNG are cut off or changed."""


def strip_png(data: bytes) -> bytes:
    """Return a PNG without its metadata, after checking that its chunks are whole; libpng then has nothing to say.

    Args:
        data: content of the file.

    Raises:
        DamagedPngError: the file ends before its last chunk, or a chunk does not have its checksum; libpng would refuse
            such a file too, and write to stderr why.
    """
    pieces, start, place = [], 0, len(PNG_START)
    while True:
        kind, end = data[place + 4 : place + 8], place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            raise DamagedPngError("cut off")
        # bit 5 of the first letter: the chunk is ancillary (PNG 1.2, section 3.3); libpng ignores damaged ones
        is_ancillary = bool(kind[0] & 0x20)
        is_whole = zlib.crc32(memoryview(data)[place + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        # nothing follows the last chunk, so libpng only complains of a damaged one
        if not is_whole and not is_ancillary and kind != b"IEND":
            raise DamagedPngError(f"its chunk {kind.decode('ascii', 'replace')} has another checksum")
        if kind in _REMARK_CHUNKS or not is_whole:
            pieces.append(data[start:place])
            start = end
        place = end
        if kind == b"IEND":
            break
    return b"".join((*pieces, data[start:place], b"" if is_whole else _PNG_END)) if pieces else data


def silence_opencv() -> None:
    """Turn off OpenCV's own log and that of its FFmpeg, unless the user has set them."""
    _silence_opencv_log()
    # OpenCV reads it once, at its first video, which may come long after its first image; whoever puts the environment
    # back between the two must not make FFmpeg loud, so it is set each time
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET


@cache
def _silence_opencv_log() -> None:
    import cv2

    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@cache
def silence_libtiff() -> None:
    """Turn off what the libtiff of Pillow writes; its errors still reach Pillow. Where it is not found, it goes on."""
    from PIL import _imaging  # loads libtiff

    del _imaging
    with contextlib.suppress(OSError, AttributeError):
        paths = {line.split(maxsplit=5)[-1].strip() for line in _LIBRARY_MAP.read_text().splitlines() if "tiff" in line}
        for path in paths:
            library = ctypes.CDLL(path)
            # both take a pointer to a function, and no function means silence (libtiff, TIFFError(3tiff))
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                function = getattr(library, name)
                function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
                function(None)
