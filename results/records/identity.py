"""Digests that say when two runs are the same run, and when two numbers may stand in one column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from results.records.record import Record

CARD_TEXTS = ("summary", "facts", "weights", "module", "heads")
"""What of a backbone's card cannot change a number, as the card itself says (weights count by their hash)."""


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


def identity_of(record: Record) -> Identity:
    """What a record's ``run_id`` and ``comparability`` are made of, taken from its own fields."""
    backbone = record.backbone
    return Identity(
        protocol_part={
            "task": record.task,
            "protocol": record.protocol,
            "protocol_version": record.protocol_version,
            "config": record.config,
            "data": record.data.fingerprint,
            "tier": record.tier,
        },
        candidate_part={
            "card": {key: value for key, value in backbone.card.items() if key not in CARD_TEXTS},
            "arguments": backbone.arguments,
            "init": backbone.init,
            "checkpoint": backbone.checkpoint.sha256 if backbone.checkpoint else None,
            "allow_partial": backbone.allow_partial,
            "seed": record.seed,
        },
    )


def candidate_of(record: Record) -> str:
    """A digest of what is compared, without the seed: runs that share it are one row of a board."""
    part = identity_of(record).candidate_part
    return digest({key: value for key, value in part.items() if key != "seed"})


def digest(value: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON.

    Raises:
        TypeError: for values JSON does not have (a digest over a ``repr`` could change between runs).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
