"""Name the tool that wrote a json file which is not COCO's, so that a refusal says what to do. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from foundation.storage.regular_files import open_regular

_LOOKED_AT = 65_536
"""Bytes from the beginning of a file; the words below come before images or long outlines."""

_MARKS = {
    "LabelMe": (r'"shapes"\s*:\s*\[', r'"(version|flags|points|imagePath)"\s*:'),
    "VIA (VGG Image Annotator)": (r'"regions"\s*:', r'"(shape_attributes|region_attributes|file_attributes)"\s*:'),
    "CreateML": (r"^\s*\[", r'"coordinates"\s*:\s*\{'),
    "Label Studio": (r"^\s*\[", r'"(rectanglelabels|polygonlabels|brushlabels)"\s*:'),
}
"""Words that the files of a tool have, all of them; those of COCO have none of these pairs."""


def describe_other_format(path: Path) -> str | None:
    """Return what a json file is, if it is known and not COCO's, and what to do with it.

    Args:
        path: the file.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_LOOKED_AT).decode("utf-8-sig", "replace")
    except OSError:
        return None
    for tool, marks in _MARKS.items():
        if all(re.search(mark, text) for mark in marks):
            return (
                f"{path} is a file of {tool}, which is not read; let {tool} or a converter write COCO json (one file "
                "for each split), YOLO or VOC files, and name their folder"
            )
    return None
