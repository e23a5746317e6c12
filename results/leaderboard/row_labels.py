"""Readable names of backbones and of how they started, for the rows of boards and for comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from results.records.record import PRETRAINING_DOMAIN, Record

# only for annotations: the module imports scipy, which takes longer than to list 100,000 runs
if TYPE_CHECKING:
    from results.statistics.ranking import StoredRun


def format_row_label(backbone: str, init: str, weights_digest: str, pretrain_method: str = "") -> str:
    """Return a readable name of a backbone with its start: ``mae_tiny``, ``vit_nano (random)``, ``x (mae 0a1b2c3d)``.

    A start from the card's own weights is implied by the name.
    """
    return backbone if init == "card" else f"{backbone} ({format_start_label(init, weights_digest, pretrain_method)})"


def format_start_label(init: str, weights_digest: str, pretrain_method: str) -> str:
    """Return a readable name of a start.

    If the pre-training method of a checkpoint is known, it replaces the word ``checkpoint``. The first 8 digits of the
    SHA-256 distinguish checkpoints of the same method. A module from memory gets 12 digits, because there is no file of
    which the rest of the hash could be looked up.

    Args:
        init: how the run started, as ``get_start_kind`` returns it.
        weights_digest: SHA-256 of the start weights or its first 12 digits; empty for random weights.
        pretrain_method: method of the pre-training that produced the weights, or "" if it is not known.

    >>> format_start_label("checkpoint", "0a1b2c3d4e5f", "mae"), format_start_label("random", "", "")
    ('mae 0a1b2c3d', 'random')
    """
    digits = 12 if init.endswith("memory") else 8
    kind = init.replace("checkpoint", pretrain_method) if pretrain_method else init
    return f"{kind} {weights_digest[:digits]}".strip()


def format_record_label(record: Record, pretrain_methods: Mapping[str, str]) -> str:
    """Return ``format_row_label`` for a record; the methods are the result of ``map_pretrain_methods``."""
    method = get_pretrain_method(record, pretrain_methods)
    return format_row_label(record.backbone.name, get_start_kind(record), record.start_sha256, method)


def format_record_start(record: Record, pretrain_methods: Mapping[str, str]) -> str:
    """Return ``format_start_label`` for a record; the methods are the result of ``map_pretrain_methods``."""
    method = get_pretrain_method(record, pretrain_methods)
    return format_start_label(get_start_kind(record), record.start_sha256, method)


def get_start_kind(record: Record) -> str:
    """Return how the run started: the record's ``init``, with ``partial`` in front if partial weights were allowed."""
    return "partial " + record.backbone.init if record.backbone.allow_partial else record.backbone.init


def map_pretrain_methods(runs: Sequence[StoredRun]) -> dict[str, str]:
    """Return the method of each complete pre-training among the runs, by the SHA-256 of the encoder it exported."""
    # the protocol of a pre-training is its method
    return {sha256: record.protocol for _, record in runs if (sha256 := get_exported_sha256(record)) is not None}


def get_exported_sha256(record: Record) -> str | None:
    """Return the SHA-256 of the encoder that a complete pre-training exported; ``None`` for any other run."""
    if record.domain == PRETRAINING_DOMAIN and record.status == "complete" and record.result:
        # "details" is free-form, so its types are checked
        encoder = record.result.details.get("encoder")
        if isinstance(encoder, Mapping) and isinstance(sha256 := encoder.get("sha256"), str):
            return sha256
    return None


def get_pretrain_method(record: Record, pretrain_methods: Mapping[str, str]) -> str:
    """Return the pre-training method that produced a run's start weights, or "" if it is not known.

    Args:
        record: record of the run.
        pretrain_methods: the result of ``map_pretrain_methods``.
    """
    return pretrain_methods.get(record.start_sha256, "")
