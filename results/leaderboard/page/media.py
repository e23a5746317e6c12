"""The pictures of a page: collected by content, written beside it or embedded, and removed when they are out of use."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from foundation.errors import UserError
from foundation.files import ensure_writable_dir, sha256_file, write_atomic
from foundation.storage.leftovers import clean_own_folder
from foundation.storage.regular_files import read_regular
from results.leaderboard.page.budget import ByteBudget
from results.records.picture_manifest import MAX_PICTURE_BYTES, StoredPicture, detect_picture_type
from results.records.strict_model import load_json

MEDIA_DIR = "media"
MAX_FOLDER_BYTES = 40_000_000
MAX_EMBEDDED_BYTES = 4_000_000
MAX_PAGE_BYTES = 64_000_000
"""A page with everything in it has up to 10 MB; a larger file of that name lists no pictures of ours."""
MAX_PICTURE_PIXELS = 10_000_000
"""A file of a few kilobytes can unpack to gigabytes in the reader's browser; pictures of runs have 1 to 2 million."""

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg"}
_NAME = re.compile(r"^[0-9a-f]{32}\.(png|jpg)$")
_MEDIA_LIST = re.compile(r'<script type="application/json" id="media">(\[[^<]*\])</script>')


class AnalysisPanel(NamedTuple):
    """An analysis that is displayed on a page.

    Attributes:
        title: the kind of analysis and what it analyzes.
        caption: how it was computed.
        figures: (name, content of the PNG or JPEG file) of each figure.
    """

    title: str
    caption: str
    figures: list[tuple[str, bytes]]


class PageMedia:
    """The pictures of one page. A picture that is used twice is kept once, under a name made from its content.

    Attributes:
        files: content of each file below ``media/``, by name; empty if the pictures are embedded.
    """

    def __init__(self, embed: bool) -> None:
        self.files: dict[str, bytes] = {}
        self._embed = embed
        self._budget = ByteBudget(MAX_EMBEDDED_BYTES if embed else MAX_FOLDER_BYTES)
        self._addresses: dict[str, str] = {}

    def add_picture(self, content: bytes) -> str | None:
        """Return the address of a picture on the page, or ``None`` if it is no small PNG or JPEG or does not fit."""
        media_type = detect_picture_type(content)
        if media_type is None or len(content) > MAX_PICTURE_BYTES or _count_pixels(content) > MAX_PICTURE_PIXELS:
            return None
        digest = hashlib.sha256(content).hexdigest()[:32]
        if digest not in self._addresses:
            name = f"{digest}.{_ENDINGS[media_type]}"
            # base64 turns three bytes into four characters
            if not self._budget.take_bytes(len(content) * 4 // 3 if self._embed else len(content)):
                return None
            if self._embed:
                self._addresses[digest] = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
            else:
                self.files[name] = content
                self._addresses[digest] = f"{MEDIA_DIR}/{name}"
        return self._addresses[digest]

    def add_stored_picture(self, picture: StoredPicture) -> str | None:
        """Return the address of a picture of a run, or ``None`` if it cannot be read any more or does not fit."""
        try:
            return self.add_picture(read_regular(picture.path, MAX_PICTURE_BYTES))
        except OSError:  # removed since its folder was listed; a page does without it
            return None


def _count_pixels(content: bytes) -> int:
    """Return width x height as the head of a PNG or JPEG states them; 0 if it does not."""
    if content.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", content, 16) if len(content) >= 24 else (0, 0)
        return int(width * height)
    place = 2
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4])
        # the start of a frame; C4, C8 and CC are tables and extensions (ITU-T T.81, table B.1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, place + 5)
            return int(width * height)
        place += 2 + length
    return 0


def read_figures(folder: Path, max_total_bytes: int) -> list[tuple[str, bytes]]:
    """Read the PNG and JPEG files of a folder, the smallest ones first, until the limits are reached.

    Args:
        folder: folder of pictures; it may not exist.
        max_total_bytes: maximum size of all pictures together, in bytes.

    Returns:
        (name, content) of each picture, sorted by name.
    """
    if not folder.is_dir():
        return []
    # no symbolic links: a link in a foreign run folder could point to a private file of the reader
    files = sorted((path.stat().st_size, path) for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    found = []
    for size, path in files:
        if size > min(MAX_PICTURE_BYTES, max_total_bytes):
            break  # all remaining files are at least as large
        content = read_regular(path, MAX_PICTURE_BYTES)
        if detect_picture_type(content) is not None:
            max_total_bytes -= size
            found.append((path.stem, content))
    return sorted(found)


def list_page_media(page: Path) -> frozenset[str]:
    """Return the names of the media files that a page of ours uses; none if there is no such page."""
    try:
        found = _MEDIA_LIST.search(read_regular(page, MAX_PAGE_BYTES).decode("utf-8"))
        names = load_json(found[1]) if found else []
    except (OSError, ValueError):
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str) and _NAME.match(name))


def write_media(folder: Path, files: dict[str, bytes]) -> None:
    """Write the media files of a page that are not there yet, each in one piece.

    Args:
        folder: the page's folder.
        files: contents by name.

    Raises:
        UserError: ``media`` is a link or cannot be written.
    """
    if not files:
        return
    home = folder / MEDIA_DIR
    if home.is_symlink():
        raise UserError(
            f"{home} is a symbolic link, so no pictures are written there; remove it or name another folder"
        )
    ensure_writable_dir(home)
    clean_own_folder(home)
    for name, content in sorted(files.items()):
        path = home / name
        # the name is made from the content, so a file with that name is written again only if it was damaged
        if path.is_symlink() or not path.is_file() or not _has_content(path, content):
            write_atomic(path, content)


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return read_regular(path, len(content)) == content
    except OSError:
        return False


def remove_stale_media(folder: Path, names: Iterable[str]) -> None:
    """Remove media files of an earlier page; a file whose content does not match its name is the user's and stays.

    Args:
        folder: the page's folder.
        names: names that the earlier page used and the new one does not.
    """
    home = folder / MEDIA_DIR
    for name in sorted(names):
        path = home / name
        is_regular = not home.is_symlink() and path.is_file() and not path.is_symlink()
        if is_regular and sha256_file(path)[:32] == path.stem:
            path.unlink()
    if home.is_dir() and not home.is_symlink() and not any(home.iterdir()):
        home.rmdir()
