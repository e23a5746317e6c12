"""Limits on what a page holds, so that it stays small and fast whatever the store has."""

from __future__ import annotations

import json
from typing import Any


class ByteBudget:
    """A number of bytes that several parts of a page share; a part that does not fit any more is left out."""

    def __init__(self, num_bytes: int) -> None:
        self.remaining = num_bytes

    def take_bytes(self, num_bytes: int) -> bool:
        """Reserve bytes and return whether they fit."""
        if num_bytes > self.remaining:
            return False
        self.remaining -= num_bytes
        return True

    def take_json(self, value: Any) -> bool:
        """Reserve the bytes that a value has as JSON, and return whether they fit."""
        return self.take_bytes(len(json.dumps(value, separators=(",", ":"))))


class SharedValues:
    """A list of values that many runs share (configuration, machine, data); runs refer to them by index."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._indices: dict[str, int] = {}

    def index_of(self, value: Any) -> int:
        """Return the index of a value, which is added if it is new."""
        text = json.dumps(value, sort_keys=True)  # dicts and lists cannot be keys of a dict, their text can
        if text not in self._indices:
            self._indices[text] = len(self.values)
            self.values.append(value)
        return self._indices[text]
