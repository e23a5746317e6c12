"""The files of contact sheets: where they lie, and how one is told from any other picture. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

SHEET_FOLDER = Path("runs", "check")
"""Where sheets are drawn, in the folder that also holds what runs draw."""

SHEET_MARK = "contact sheet of bench check data"
"""The text ``Software`` in the PNG file of a sheet."""

_HEADER_BYTES = 256  # the text is the first chunk after the header


def is_contact_sheet(path: Path) -> bool:
    """Return whether a file is a contact sheet that bench has drawn; what cannot be read is none."""
    try:
        with path.open("rb") as stream:
            return SHEET_MARK.encode() in stream.read(_HEADER_BYTES)
    except OSError:
        return False
