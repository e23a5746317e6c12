"""Which texts can be paths: what the kernel refuses for every file is named before anything is done."""

from __future__ import annotations

import os
from pathlib import Path

MAX_PATH_BYTES = 4095
"""PATH_MAX without the NUL at the end; no system call takes more."""

MAX_NAME_BYTES = 255
"""NAME_MAX, of a name between two slashes."""


def find_path_fault(text: str) -> str:
    """Return why a text can be no path, or "" if it can be one.

    >>> find_path_fault("data/photos")
    ''
    >>> find_path_fault("")
    'it is empty'
    """
    if not text.strip():
        return "it is empty"
    if "\0" in text:
        return "it has a NUL character, and no name or path can have one"
    longest = max(len(os.fsencode(part)) for part in text.split("/"))
    if len(os.fsencode(text)) > MAX_PATH_BYTES or longest > MAX_NAME_BYTES:
        return f"it is too long: a name has at most {MAX_NAME_BYTES} bytes, and a path {MAX_PATH_BYTES}"
    return ""


def shorten_path(path: Path) -> str:
    """Return a path as a record keeps it: relative to the current folder if it is below it, else as it is.

    A record travels. Where its files lay on the machine that made it tells a reader nothing, and may hold a user name.

    >>> shorten_path(Path.cwd() / "runs" / "digits"), shorten_path(Path("data"))
    ('runs/digits', 'data')
    """
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
