"""Damage a file in the ways in which files are damaged, so that every reader meets every kind."""

from __future__ import annotations

import codecs
import io
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bad_inputs.bad_input import BadInput

Damage = Callable[[Path], None]
"""Puts something in the place of a sound file."""


def replace_content(content: bytes) -> Damage:
    """Return what writes other content under the name of a file.

    Args:
        content: the bytes.
    """

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def replace_by_link(target: str) -> Damage:
    """Return what puts a link in the place of a file.

    Args:
        target: where the link leads; relative to the file's folder.
    """

    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return link


def link_to_itself(path: Path) -> None:
    """Put a link that leads to itself in the place of a file."""
    replace_by_link(path.name)(path)


def replace_by_folder(path: Path) -> None:
    """Put an empty folder in the place of a file."""
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    """Put a named pipe in the place of a file; who opens it to read waits for a writer."""
    path.unlink()
    os.mkfifo(path)


def cut_off(path: Path) -> None:
    """Leave the first half of a file, as a download that was interrupted."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def enlarge(path: Path) -> None:
    """Make a file of a terabyte out of it, which takes no disk: all that follows its content is zero."""
    with path.open("rb+") as file:
        file.truncate(10**12)


def encode_utf16(path: Path) -> None:
    """Save a text as UTF-16 with its mark."""
    path.write_bytes(codecs.BOM_UTF16_LE + path.read_bytes().decode().encode("utf-16-le"))


def make_png(size: int = 4) -> bytes:
    """Return a small PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((size, size, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


DAMAGES: Mapping[str, Damage] = {
    "missing": Path.unlink,
    "a folder": replace_by_folder,
    "empty": replace_content(b""),
    "zeros": replace_content(bytes(4096)),
    "garbage": replace_content(random.Random(0).randbytes(4096)),
    "cut off": cut_off,
    "a picture": replace_content(make_png()),
    "a web page": replace_content(b"<!DOCTYPE html><html><body>Please log in.</body></html>\n"),
    "a terabyte": enlarge,
    "a pipe": replace_by_pipe,
    "deep": replace_content(b"[" * 100_000),
    "UTF-16": encode_utf16,
    "escapes": replace_content(b"\x1b[2J\x1b]0;title\x07\r\nname\x1b[31m,\xe2\x80\xaex\n"),
    "broken link": replace_by_link("nowhere"),
    "link circle": link_to_itself,
    "a device": replace_by_link("/dev/zero"),
}
"""What may be found under the name of a file; ``cut off``, ``a terabyte`` and ``UTF-16`` start from its content."""


def damage_file(
    what: str, words: Sequence[str], file: str, make: Callable[[Path], object], says: Mapping[str, str], **more: Any
) -> list[BadInput]:
    """Return one case for each kind of damage to a file.

    Args:
        what: the reader, for the names of the cases.
        words: the words after ``bench``.
        file: the file that is damaged, relative to the folder of the case.
        make: makes sound files in that folder.
        says: for each kind of damage what the sentence says, as a regular expression.
        more: other fields of the cases.
    """

    def damage(kind: str) -> Callable[[Path], None]:
        def make_damaged(folder: Path) -> None:
            make(folder)
            DAMAGES[kind](folder / file)

        return make_damaged

    return [BadInput(f"{what}: {kind}", [*words], says[kind], damage(kind), **more) for kind in says]


# what readers say of each kind; a module of cases changes what differs
TERABYTE_SAYS = {"a terabyte": "1,000,000,000,000 bytes, and"}
NOT_TEXT_SAYS = {
    **dict.fromkeys(("zeros", "garbage", "a picture"), "is not a text file: line 1 has the byte 0x"),
    "UTF-16": "is UTF-16, not UTF-8; save it as UTF-8: iconv -f UTF-16",
    **TERABYTE_SAYS,
}
NOT_IMAGE_SAYS = {
    **dict.fromkeys(("zeros", "garbage", "a web page", "deep", "escapes"), "its content is that of no image format"),
    "empty": r"is empty; fetch it again|\(0 bytes\)",
    **TERABYTE_SAYS,
}
IN_DATA_SAYS = dict.fromkeys(("a pipe", "a device"), r"is neither a file nor a folder \(a pipe, socket or device\)")
NOT_REGULAR_SAYS = dict.fromkeys(("a pipe", "a device"), "it is not a regular file")
LINK_SAYS = {"broken link": "No such file or directory", "link circle": "Too many levels of symbolic links"}


def write_image(path: Path, size: tuple[int, int] = (8, 8)) -> None:
    """Write a small image of noise that depends on its name, and the folders above it.

    Args:
        path: the file.
        size: width and height in pixels.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(list(path.as_posix().encode()[-12:]))
    Image.fromarray(generator.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)
