"""Digests that say when two runs are the same run, and when two numbers may stand in one column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """Everything that can change a run's number.

    ``protocol_part`` is what defines the column (task, protocol, version, configuration, data, tier);
    ``candidate_part`` is what is being compared (backbone, checkpoint, seed).
    """

    protocol_part: Mapping[str, Any]
    candidate_part: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """16 hexadecimal digits over all ingredients."""
        return digest({**self.protocol_part, **self.candidate_part})

    @property
    def comparability(self) -> str:
        """16 hexadecimal digits over the ingredients without backbone, checkpoint and seed."""
        return digest(self.protocol_part)


def digest(value: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON.

    Raises:
        TypeError: for values JSON does not have (a digest over a ``repr`` could change between runs).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
