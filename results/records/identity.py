"""Digests that decide when two runs are the same run, and when two numbers may be compared in one column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from results.records.record import Record

AS_IS = "as_is"
"""The protocol of evaluations: a finished model is tested as it is, and nothing is trained."""

FILE_OPTIONS = ("labels", "colours")
"""Options of the data that name a file."""

NON_IDENTITY_CARD_FIELDS = ("summary", "facts", "weights", "module", "heads")
"""Fields of a backbone card that cannot change a number. The weights are covered by the SHA-256 of their file."""


class RunIdentity(NamedTuple):
    """Everything that can change the number a run produces.

    Attributes:
        protocol_fields: what defines a leaderboard column: task, protocol and its version, configuration, data, tier.
        candidate_fields: what is compared in that column: backbone, checkpoint and seed.
    """

    protocol_fields: Mapping[str, Any]
    candidate_fields: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """Return 16 hexadecimal digits computed from all fields."""
        return compute_digest({**self.protocol_fields, **self.candidate_fields})

    @property
    def comparability(self) -> str:
        """Return 16 hexadecimal digits computed from all fields except backbone, checkpoint and seed."""
        return compute_digest(self.protocol_fields)


def build_run_identity(record: Record) -> RunIdentity:
    """Collect the fields from which a record's ``run_id`` and ``comparability`` are computed."""
    return collect_identity_fields(record.model_dump(mode="json", include=_IDENTITY_FIELDS))


# dumping only these fields keeps the identity of thousands of records cheap: ``result`` is by far the largest part
_IDENTITY_FIELDS = {
    *("task", "task_source", "protocol", "protocol_version", "config", "data", "tier", "seed", "backbone"),
}


def collect_identity_fields(content: Mapping[str, Any]) -> RunIdentity:
    """Collect the identity fields as ``build_run_identity`` does, but from a record's JSON as plain data.

    Raises:
        KeyError: a field is missing.
    """
    backbone, checkpoint = content["backbone"], content["backbone"].get("checkpoint")
    return make_run_identity(
        task=content["task"],
        protocol=content["protocol"],
        protocol_version=content["protocol_version"],
        config=content["config"],
        data_fingerprint=content["data"]["fingerprint"],
        data_options=content["data"].get("options", {}),
        tier=content["tier"],
        task_source=content.get("task_source"),
        card={key: value for key, value in backbone["card"].items() if key not in NON_IDENTITY_CARD_FIELDS},
        arguments=backbone["arguments"],
        init=backbone["init"],
        checkpoint_sha256=checkpoint["sha256"] if checkpoint else None,
        weights_key=checkpoint.get("weights_key") if checkpoint else None,
        loading_fixes=checkpoint.get("loading_fixes", ()) if checkpoint else (),
        allow_partial=backbone.get("allow_partial", False),
        seed=content["seed"],
        model=backbone.get("model"),
    )


def make_run_identity(
    *,
    task: str,
    protocol: str,
    protocol_version: int,
    config: Mapping[str, Any],
    data_fingerprint: str,
    data_options: Mapping[str, Any],
    tier: str,
    task_source: str | None,
    card: Mapping[str, Any],
    arguments: Mapping[str, Any],
    init: str,
    checkpoint_sha256: str | None,
    weights_key: str | None,
    loading_fixes: Sequence[str],
    allow_partial: bool,
    seed: int,
    model: Mapping[str, str] | None,
) -> RunIdentity:
    """Put together everything that can change the number of a run. The only place that decides what an id covers.

    Args:
        task, protocol, protocol_version, tier: what is measured, and how.
        config: the settings that can change the number.
        data_fingerprint, data_options: the content of the data, wherever they lie, and what the user said of them.
        task_source: digest of the code of a plug-in task, ``None`` for bench's own.
        card, arguments: what the backbone is made from; the card without fields that change no number.
        init: where the start weights come from.
        checkpoint_sha256: the content of the weight file, never its path.
        weights_key: which weights of the file, if not its plain ones.
        loading_fixes: corrections of the loading that change the number of exactly this run.
        allow_partial: whether a part of the backbone may keep random weights.
        seed: the run's seed.
        model: digests of the model as built; ``None`` in records of schema versions before 5.
    """
    # what is absent is left out instead of being null, so that records of earlier versions keep their ids
    return RunIdentity(
        protocol_fields={
            "task": task,
            "protocol": protocol,
            "protocol_version": protocol_version,
            "config": config,
            "data": data_fingerprint,
            **_describe_options(data_options),
            "tier": tier,
            **({"task_source": task_source} if task_source is not None else {}),
        },
        candidate_fields={
            "card": card,
            "arguments": arguments,
            "init": init,
            "checkpoint": checkpoint_sha256,
            **({"weights_key": weights_key} if weights_key is not None else {}),
            **({"loading_fixes": list(loading_fixes)} if loading_fixes else {}),
            "allow_partial": allow_partial,
            "seed": seed,
            **({"model": model} if model is not None else {}),
        },
    )


def _describe_options(data_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the data that count. A file counts by its content, which the fingerprint covers."""
    options = {name: value for name, value in data_options.items() if name not in FILE_OPTIONS}
    return {"data_options": options} if options else {}


def compute_candidate_digest(record: Record) -> str:
    """Return a digest of backbone and checkpoint without the seed.

    Runs that share it are one leaderboard row, if they are also of one network (``results.leaderboard.same_network``:
    records of schema versions before 5 have no digest of it).
    """
    part = build_run_identity(record).candidate_fields
    return compute_digest({key: value for key, value in part.items() if key not in ("seed", "model")})


def compute_digest(value: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON.

    Raises:
        TypeError: ``value`` holds something that JSON does not have (a digest of its ``repr`` could change per run).
        ValueError: ``value`` holds a number that is not finite.
    """
    # sorted keys and no blanks: one content has exactly one text, whatever the order in which the mapping was filled
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    # 16 digits are 64 bits: a million different runs collide with a probability below 1e-7
    return hashlib.sha256(text.encode()).hexdigest()[:16]
