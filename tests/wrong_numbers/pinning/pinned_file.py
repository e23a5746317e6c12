"""The file of pinned numbers beside the configs of a room, and the rule by which a number in it may change."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

ROOM_NAMES = ("classification", "segmentation", "detection", "tracking", "pretraining")
ALL_PROTOCOLS = "all_protocols"
"""Key of the numbers on which every protocol of a room depends, such as its metrics."""

MAX_LINE = 110
"""Longest line of the file; a value that fits stands on one line."""


@dataclass(frozen=True)
class PinnedEntry:
    """The pinned numbers of one protocol, or of what all protocols of a room share.

    Attributes:
        versions: version of each protocol that the numbers hold for, by name.
        pins: plain data by section.
        same_version: why numbers were moved without a new version: one entry per time.
    """

    versions: Mapping[str, int]
    pins: Mapping[str, Any]
    same_version: tuple[Mapping[str, Any], ...] = ()

    def is_superseded_by(self, versions: Mapping[str, int]) -> bool:
        """Whether every protocol that the numbers hold for has a higher version now, or is gone."""
        return all(name not in versions or versions[name] > old for name, old in self.versions.items())


@dataclass
class PinnedFile:
    """All pinned numbers of a room."""

    room: str
    entries: dict[str, PinnedEntry] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file beside the configs."""
        return ROOT / self.room / "configs" / "pinned.json"


def read_pinned_file(room: str) -> PinnedFile:
    """Read the pinned numbers of a room; empty if there are none yet."""
    found = PinnedFile(room)
    if found.path.is_file():
        for name, content in json.loads(found.path.read_text()).items():
            found.entries[name] = PinnedEntry(
                content["versions"], content["pins"], tuple(content.get("same_version", ()))
            )
    return found


def write_pinned_file(file: PinnedFile) -> None:
    """Write the pinned numbers of a room in an order and form in which a changed number is a changed line."""
    content = {}
    for name, entry in sorted(file.entries.items()):
        reasons = {"same_version": list(entry.same_version)} if entry.same_version else {}
        content[name] = {"versions": dict(entry.versions), "pins": dict(entry.pins), **reasons}
    file.path.write_text(_format_json(content) + "\n")


def _format_json(value: Any, indent: int = 0) -> str:
    """Write JSON with everything that fits into a line on one line."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if indent + len(flat) <= MAX_LINE or not isinstance(value, dict | list) or not value:
        return flat
    if isinstance(value, dict):
        opening, closing = "{", "}"
        parts = [f"{json.dumps(key)}: {_format_json(item, indent + 2)}" for key, item in value.items()]
    else:
        opening, closing = "[", "]"
        parts = [_format_json(item, indent + 2) for item in value]
        if not any(isinstance(item, dict | list) for item in value):  # a row of numbers is filled like a paragraph
            lines = textwrap.wrap(", ".join(parts), MAX_LINE - indent - 2)
            return "[\n" + "\n".join(" " * (indent + 2) + line for line in lines) + f"\n{' ' * indent}]"
    margin = " " * (indent + 2)
    return f"{opening}\n" + ",\n".join(margin + part for part in parts) + f"\n{' ' * indent}{closing}"
