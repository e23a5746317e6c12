"""Small pictures of a run, as ``data:`` addresses."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

MAX_PICTURE_BYTES = 250_000
"""Bytes of one picture that still goes into a page."""

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class AnalysisPanel(NamedTuple):
    """An analysis that a page shows: what it is, what it was made of, and its figures (name, ``data:`` address)."""

    title: str
    caption: str
    figures: list[tuple[str, str]]


def encode_run_pictures(run_folder: Path, max_total_bytes: int) -> list[tuple[str, str]]:
    """The pictures below ``pictures/`` of a run's folder; see ``encode_pictures``."""
    return encode_pictures(run_folder / "pictures", max_total_bytes)


def encode_pictures(folder: Path, max_total_bytes: int) -> list[tuple[str, str]]:
    """The pictures of a folder, smallest first while the budget lasts.

    Args:
        folder: of pictures; there may be none.
        max_total_bytes: bytes of all of them together.

    Returns:
        Name and ``data:`` address of each; only what begins as a PNG or a JPEG does.
    """
    if not folder.is_dir():
        return []
    files = sorted((path.stat().st_size, path) for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    found = []
    for size, path in files:
        if size > min(MAX_PICTURE_BYTES, max_total_bytes):
            break
        content = path.read_bytes()
        kind = next((kind for start, kind in _SIGNATURES.items() if content.startswith(start)), None)
        if kind is not None:
            max_total_bytes -= size
            found.append((path.stem, f"data:{kind};base64,{base64.b64encode(content).decode()}"))
    return sorted(found)
