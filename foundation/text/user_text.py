"""Read a text file that a person or another program wrote: UTF-8, or one sentence that says what it is instead.

Nothing is decoded by a guess: a class list in Windows-1252 that is read as Latin-2 has other names, and the number
stands beside a class that does not exist. The guess only chooses the words of the sentence.
"""

from __future__ import annotations

import codecs
import re
import shlex
from pathlib import Path

from foundation.display_text import format_one_line
from foundation.errors import DataError, UserError
from foundation.storage.regular_files import read_regular

# longer marks first: the mark of UTF-32LE begins with that of UTF-16LE
_FOREIGN_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

# what no text holds in an encoding that keeps ASCII
_BINARY_BYTE = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

# one or two letters above 127 beside a letter of ASCII, as in "caf\xe9"
_ACCENTED_WORD = re.compile(
    rb"(?<=[A-Za-z])[\x80-\xff]{1,2}(?![\x80-\xff])|(?<![\x80-\xff])[\x80-\xff]{1,2}(?=[A-Za-z])"
)

_WESTERN = "WINDOWS-1252"

MAX_TEXT_BYTES = 1 << 29
"""Size of the largest text file that is read: a table of five million images has half of it."""

_MAX_SHOWN = 40  # characters of the offending line


def read_user_text(path: Path, error_class: type[UserError] = DataError, *, cure: str = "") -> str:
    """Read a text file in UTF-8, with or without a byte order mark; line ends of all systems become line feeds.

    Args:
        path: the file.
        error_class: class of the exception.
        cure: what to do about a file that cannot be opened at all; by default, to look at the path and its rights.

    Raises:
        UserError: of the given class: the file cannot be opened, is too large, or is not UTF-8; the sentence then
            names the line and the byte, what the encoding probably is, and how to save the file as UTF-8.
    """
    try:
        content = read_regular(path, MAX_TEXT_BYTES)
    except OSError as error:
        reason = error.strerror or error
        raise error_class(f"{path} cannot be read ({reason}); {cure or 'fix the path or its permissions'}") from error
    return decode_user_text(content, path, error_class)


def decode_user_text(content: bytes, source: object, error_class: type[UserError] = DataError) -> str:
    r"""Decode the content of a text file as ``read_user_text`` does.

    Args:
        content: all bytes of the file.
        source: the file's name in the sentence.
        error_class: class of the exception.

    Raises:
        UserError: of the given class, see ``read_user_text``.

    >>> decode_user_text("\ufeffcat\r\ncafé\r\n".encode(), "classes.txt")
    'cat\ncafé\n'
    """
    if content.startswith(tuple(_FOREIGN_MARKS)):
        name = next(words for mark, words in _FOREIGN_MARKS.items() if content.startswith(mark))
        raise error_class(f"{source} is {name}, not UTF-8; {_describe_conversion(source, name)}")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise error_class(_describe_fault(content, error.start, source)) from None
    if "\0" in text:  # UTF-16 of English text is valid UTF-8, with a NUL at every second place
        raise error_class(_describe_fault(content, content.index(0), source))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _describe_fault(content: bytes, place: int, source: object) -> str:
    """Say which byte is wrong, what the file probably is, and how to save it as UTF-8.

    Args:
        content: all bytes of the file.
        place: index of the first byte that cannot be UTF-8 text.
        source: the file's name.
    """
    lines = re.split(rb"\r\n|\r|\n", content[:place])
    where = f"line {len(lines)} has the byte 0x{content[place]:02x} (byte {place + 1} of the file)"
    # the most certain first: every second byte 0 is neither binary nor a code page
    if half := _find_utf16(content):
        return f"{source} is UTF-16, not UTF-8; {_describe_conversion(source, half)}"
    if _BINARY_BYTE.search(content):
        return f"{source} is not a text file: {where}; name a text file in UTF-8"
    foreign = re.findall(rb"[\x80-\xff]+", content)
    # Windows-1252 writes single letters of a word above 127; the code pages of Cyrillic and Greek whole words, and
    # those of East Asia pairs of bytes
    if 2 * len(_ACCENTED_WORD.findall(content)) >= len(foreign):
        line = lines[-1] + re.split(rb"[\r\n]", content[place : place + 4 * _MAX_SHOWN])[0]
        shown = format_one_line(line.decode("cp1252", "replace")).strip()
        shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
        guess, encoding = f'Windows-1252 (Latin-1), in which the line reads "{shown}"', _WESTERN
    else:
        guess, encoding = "an encoding of one country, such as Windows-1251, GBK or Shift-JIS", ""
    return f"{source} is not UTF-8: {where}; it is probably {guess}; {_describe_conversion(source, encoding)}"


def _find_utf16(content: bytes) -> str:
    """Return the name of the UTF-16 that a text without a mark is in, "" if it is in none: every second byte is 0."""
    halves = {"UTF-16BE": content[::2].count(0), "UTF-16LE": content[1::2].count(0)}
    name, zeros = max(halves.items(), key=lambda half: half[1])
    return name if zeros > 0.15 * len(content) and sum(halves.values()) < 1.1 * zeros else ""


def _describe_conversion(source: object, encoding: str) -> str:
    """Return how to save a file as UTF-8, with the command where the encoding is known."""
    if not encoding:
        return "open it in the program that wrote it and save it as UTF-8"
    name = Path(str(source)).name
    return f"save it as UTF-8: iconv -f {encoding} -t UTF-8 {shlex.quote(name)} > {shlex.quote(f'new_{name}')}"
