"""Write text, tables and JSON to stdout, and messages to stderr; control characters in them are escaped."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from foundation.display_text import escape_controls, format_one_line
from foundation.errors import StorageError
from foundation.storage.write_faults import make_storage_error

MAX_MESSAGE = 8000
"""Number of characters of a message; the lists of names and faults in messages are far shorter."""

_LONG_WORD = re.compile(r"[^\s;,]{1001,}")


class ClosedOutputError(BrokenPipeError):
    """The reader of stdout, such as ``head`` or ``less``, has closed it; pipes between processes break otherwise."""


def write_stdout(text: str) -> None:
    """Write a text to stdout, ending in exactly one newline."""
    text = escape_controls(text).rstrip("\n") + "\n"
    # a pipe on Windows and a terminal of another locale have few letters, and a name must not end the command
    if encoding := _find_narrow_encoding():
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    # sys.stdout at every call and not print: tests and callers replace the stream
    with _name_stdout_faults():
        sys.stdout.write(text)


def flush_stdout() -> None:
    """Write what is still in the buffer of stdout, so that a full disk is reported and not lost at exit.

    Raises:
        StorageError: stdout is a file that cannot be written.
    """
    with _name_stdout_faults():
        sys.stdout.flush()


@contextmanager
def _name_stdout_faults() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:  # the reader has seen enough, which is no fault of a disk
        raise ClosedOutputError(*error.args) from error
    except OSError as error:
        fault = make_storage_error(_find_stdout_target(), error)
        raise StorageError(f"standard output is not complete: {fault}", error.errno or 0) from error


def _find_stdout_target() -> str:
    """Return the file that stdout was sent to, where the system tells."""
    try:
        return str(Path(f"/proc/self/fd/{sys.stdout.fileno()}").readlink())
    except (OSError, ValueError):  # a stream in memory has no number
        return "standard output"


def _find_narrow_encoding() -> str | None:
    """Return the encoding of stdout if it cannot write every letter."""
    encoding: str | None = getattr(sys.stdout, "encoding", None)  # a stream in memory has none
    return None if encoding is None or encoding.lower().replace("-", "").startswith("utf") else encoding


def write_message(message: str) -> None:
    """Write one line to stderr: an error or a warning. Where that cannot be written, the exit code must do.

    A value that a message quotes is shortened where the message is made; here is the net for whatever was forgotten.
    """
    text = _LONG_WORD.sub(lambda found: f"{found[0][:100]} ... ({len(found[0])} characters)", format_one_line(message))
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]} ... ({len(text)} characters)"
    with suppress(OSError):
        sys.stderr.write(text + "\n")


def write_json(value: Any) -> None:
    """Write a value to stdout as indented JSON."""
    # the escapes that write_stdout puts for control characters are JSON's own, so the content stays what it is;
    # NaN is not JSON: an error here is better than a file that other programs cannot read
    is_narrow = _find_narrow_encoding() is not None
    write_stdout(json.dumps(value, indent=2, ensure_ascii=is_narrow, allow_nan=False))


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as text with aligned columns; the last column is not padded.

    >>> print(align_columns([("name", "value"), ("vit_nano", "1")]))
    name      value
    vit_nano  1
    """
    return join_columns([*zip(*rows, strict=True)])


def join_columns(columns: Sequence[Sequence[str]]) -> str:
    """Format columns as ``align_columns`` formats rows, which takes longer for 100,000 of them."""
    padded: list[Sequence[str]] = []
    for number, cells in enumerate(columns, start=1):
        # most cells of a long list are printable and repeat one another
        whole = "".join(cells)
        texts = cells if whole.isascii() and whole.isprintable() else [format_one_line(cell) for cell in cells]
        # the last column is not padded, so that one long text does not add trailing spaces to every row
        if number == len(columns):
            padded.append(texts)
            continue
        different = dict.fromkeys(texts)
        width = max(map(len, different), default=0)
        wide = {text: text.ljust(width) for text in different}
        padded.append([wide[text] for text in texts])
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*padded, strict=True))
