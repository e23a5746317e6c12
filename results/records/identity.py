"""Digests that say when two runs are the same run, and when two numbers may stand in one column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from results.records.record import Record

NON_IDENTITY_CARD_FIELDS = ("summary", "facts", "weights", "module", "heads")
"""What of a backbone's card cannot change a number, as the card itself says (weights count by their hash)."""


class RunIdentity(NamedTuple):
    """Everything that can change a run's number.

    ``protocol_fields`` is what defines the column (task, protocol, version, configuration, data, tier);
    ``candidate_fields`` is what is being compared (backbone, checkpoint, seed).
    """

    protocol_fields: Mapping[str, Any]
    candidate_fields: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """16 hexadecimal digits over all ingredients."""
        return compute_digest({**self.protocol_fields, **self.candidate_fields})

    @property
    def comparability(self) -> str:
        """16 hexadecimal digits over the ingredients without backbone, checkpoint and seed."""
        return compute_digest(self.protocol_fields)


def build_run_identity(record: Record) -> RunIdentity:
    """What a record's ``run_id`` and ``comparability`` are made of, taken from its own fields."""
    return collect_identity_fields(record.model_dump(mode="json", include=_IDENTITY_FIELDS))


_IDENTITY_FIELDS = {"task", "protocol", "protocol_version", "config", "data", "tier", "seed", "backbone"}


def collect_identity_fields(content: Mapping[str, Any]) -> RunIdentity:
    """As ``build_run_identity``, from a record's JSON as plain data.

    Raises:
        KeyError: a field is missing.
    """
    backbone, checkpoint = content["backbone"], content["backbone"].get("checkpoint")
    return RunIdentity(
        protocol_fields={
            "task": content["task"],
            "protocol": content["protocol"],
            "protocol_version": content["protocol_version"],
            "config": content["config"],
            "data": content["data"]["fingerprint"],
            "tier": content["tier"],
        },
        candidate_fields={
            "card": {key: value for key, value in backbone["card"].items() if key not in NON_IDENTITY_CARD_FIELDS},
            "arguments": backbone["arguments"],
            "init": backbone["init"],
            "checkpoint": checkpoint["sha256"] if checkpoint else None,
            "allow_partial": backbone.get("allow_partial", False),
            "seed": content["seed"],
        },
    )


def compute_candidate_digest(record: Record) -> str:
    """A digest of what is compared, without the seed: runs that share it are one row of a board."""
    part = build_run_identity(record).candidate_fields
    return compute_digest({key: value for key, value in part.items() if key != "seed"})


def compute_digest(value: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON.

    Raises:
        TypeError: for values JSON does not have (a digest over a ``repr`` could change between runs).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
