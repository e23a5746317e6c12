"""Embed small pictures as ``data:`` URLs."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

MAX_PICTURE_BYTES = 250_000
"""Maximum size in bytes of a picture that is embedded into a page."""

# the first bytes of a file decide its type: a name may lie, and an SVG could contain a script
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class AnalysisPanel(NamedTuple):
    """An analysis that is displayed on a page.

    Attributes:
        title: the kind of analysis and what it analyzes.
        caption: how it was computed.
        figures: (name, ``data:`` URL) of each figure.
    """

    title: str
    caption: str
    figures: list[tuple[str, str]]


def encode_run_pictures(run_folder: Path, max_total_bytes: int) -> list[tuple[str, str]]:
    """Encode the pictures in the folder ``pictures`` of a run as ``encode_pictures`` does."""
    return encode_pictures(run_folder / "pictures", max_total_bytes)


def encode_pictures(folder: Path, max_total_bytes: int) -> list[tuple[str, str]]:
    """Encode the pictures of a folder, the smallest ones first, until the limits are reached.

    Only files whose content starts like a PNG or a JPEG are encoded. Symbolic links are left out.

    Args:
        folder: folder of pictures; it may not exist.
        max_total_bytes: maximum size of all pictures together, in bytes.

    Returns:
        (name, ``data:`` URL) of each picture, sorted by name.
    """
    if not folder.is_dir():
        return []
    # no symbolic links: a link in a foreign run folder could point to a private file of the reader
    files = sorted((path.stat().st_size, path) for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    found = []
    for size, path in files:
        if size > min(MAX_PICTURE_BYTES, max_total_bytes):
            break  # all remaining files are at least as large
        content = path.read_bytes()
        kind = next((kind for start, kind in _SIGNATURES.items() if content.startswith(start)), None)
        if kind is not None:
            max_total_bytes -= size
            found.append((path.stem, f"data:{kind};base64,{base64.b64encode(content).decode()}"))
    return sorted(found)
