"""Readable names of backbones and of how they started, for the rows of boards and for comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

from foundation.display_text import format_one_line
from foundation.errors import UserError
from results.leaderboard.departures import format_setting
from results.records.flat_settings import flatten_settings
from results.records.identity import compute_digest
from results.records.record import PRETRAINING_DOMAIN, Record

# only for annotations: the module imports scipy, which takes longer than to list 100,000 runs
if TYPE_CHECKING:
    from results.statistics.ranking import StoredRun


RUNTIME_SETTINGS = ("runtime", "precision")
"""Settings that say what computed a model; they are absent where PyTorch did, in f32."""

_MAX_VALUE_LENGTH = 30
"""Maximum number of characters of a value in the name of a row."""

MAX_LABEL_LENGTH = 60
"""Longest label of a row, in characters: it stands in a narrow column of boards."""


def require_row_label(label: str | None) -> str | None:
    """Return a label without blanks at its ends.

    Args:
        label: what the user gave; ``None``: the row is named after its backbone.

    Raises:
        UserError: it is empty, too long, not one line, or has control characters.
    """
    if label is None:
        return None
    text = label.strip()
    if not text:
        raise UserError("--label is empty; give the row a name, or leave it out")
    if len(text) > MAX_LABEL_LENGTH:
        raise UserError(f"--label has {len(text)} characters; a row has room for {MAX_LABEL_LENGTH}")
    if text != format_one_line(text):
        raise UserError(
            f"--label {format_one_line(text)!r} has line breaks, tabs or control characters; leave them out"
        )
    return text


def format_row_label(
    backbone: str,
    init: str,
    weights_digest: str,
    pretrain_method: str = "",
    weights_key: str = "",
    given_label: str = "",
    variant: str = "",
) -> str:
    """Return a readable name of a backbone with its start: ``mae_tiny``, ``vit_nano (random)``, ``x (mae 0a1b2c3d)``.

    A start from the card's own weights is implied by the name. A label of the user stands in front and replaces
    nothing, so that two starts of one label remain two names, and no label can pass for another backbone.
    The variant says in what a row differs from others of the same backbone and start (``describe_variants``).

    >>> format_row_label("vit_tiny", "checkpoint", "0a1b2c3d4e5f", given_label="my MAE")
    'my MAE (vit_tiny, checkpoint 0a1b2c3d)'
    >>> format_row_label("deit_tiny", "card", "0a1b2c3d4e5f", variant="openvino int8")
    'deit_tiny (openvino int8)'
    """
    is_plain_card = init == "card" and not weights_key
    start = "" if is_plain_card else format_start_label(init, weights_digest, pretrain_method, weights_key)
    if given_label:
        return f"{given_label} ({', '.join(filter(None, (backbone, start, variant)))})"
    details = ", ".join(filter(None, (start, variant)))
    return f"{backbone} ({details})" if details else backbone


def format_start_label(init: str, weights_digest: str, pretrain_method: str, weights_key: str = "") -> str:
    """Return a readable name of a start.

    If the pre-training method of a checkpoint is known, it replaces the word ``checkpoint``. The first 8 digits of the
    SHA-256 distinguish checkpoints of the same method. A module from memory gets 12 digits, because there is no file of
    which the rest of the hash could be looked up.

    Args:
        init: how the run started, as ``get_start_kind`` returns it.
        weights_digest: SHA-256 of the start weights or its first 12 digits; empty for random weights.
        pretrain_method: method of the pre-training that produced the weights, or "" if it is not known.
        weights_key: which weights of the file, or "" for its plain ones.

    >>> format_start_label("checkpoint", "0a1b2c3d4e5f", "mae"), format_start_label("random", "", "")
    ('mae 0a1b2c3d', 'random')
    """
    digits = 12 if init.endswith("memory") else 8
    kind = init.replace("checkpoint", pretrain_method) if pretrain_method else init
    return " ".join(filter(None, (kind, format_one_line(weights_key), weights_digest[:digits])))


def format_record_label(
    record: Record, pretrain_methods: Mapping[str, str], given_label: str | None = None, variant: str | None = None
) -> str:
    """Return ``format_row_label`` for a record; the methods are the result of ``map_pretrain_methods``.

    Args:
        record: record of a run.
        pretrain_methods: methods by the SHA-256 of the encoders they exported.
        given_label: label of the row; ``None``: the record's own.
        variant: what distinguishes the row from others of its backbone and start; ``None``: what computed the model.
    """
    return format_row_label(
        record.backbone.name,
        get_start_kind(record),
        record.start_sha256,
        get_pretrain_method(record, pretrain_methods),
        get_weights_key(record),
        get_given_label(record) if given_label is None else given_label,
        format_runtime(record) if variant is None else variant,
    )


def format_record_start(record: Record, pretrain_methods: Mapping[str, str]) -> str:
    """Return ``format_start_label`` for a record; the methods are the result of ``map_pretrain_methods``."""
    method = get_pretrain_method(record, pretrain_methods)
    return format_start_label(get_start_kind(record), record.start_sha256, method, get_weights_key(record))


def get_weights_key(record: Record) -> str:
    """Return which weights of its file a run started from, "" for the plain ones."""
    return (record.backbone.checkpoint.weights_key or "") if record.backbone.checkpoint else ""


def get_given_label(record: Record) -> str:
    """Return the label that the user gave a run, fit for a row; "" without one."""
    # a record may be of anyone: any length, any characters
    return shorten(format_one_line(record.backbone.label or ""), MAX_LABEL_LENGTH, placeholder=" ...")


def map_given_labels(records: Iterable[Record]) -> dict[str, str]:
    """Return the newest label of each backbone and start (``get_start_key``) that has one.

    A label belongs to the row and not to a run: the newest one names all seeds, on all boards.
    """
    labeled = sorted((record for record in records if record.backbone.label), key=lambda each: each.environment.started)
    return {get_start_key(record): get_given_label(record) for record in labeled}


def get_start_key(record: Record) -> str:
    """Return what distinguishes a backbone and its start from all others, whatever the task and its arguments."""
    card, sha256 = record.backbone.card, record.start_sha256
    shape = {name: card.get(name) for name in ("architecture", "arguments", "mean", "std")}
    start = [get_start_kind(record), sha256, get_weights_key(record)]
    return compute_digest({"name": record.backbone.name, "card": shape, "start": start})


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


def format_runtime(record: Record) -> str:
    """Return runtime and precision of a finished model that was evaluated: ``openvino int8``; "" for PyTorch in f32."""
    if not record.is_evaluation:
        return ""
    stated = [record.backbone.arguments.get(name) for name in RUNTIME_SETTINGS]
    return " ".join(_format_value(value) for value in stated if value is not None)


def describe_variants(records: Sequence[Record]) -> list[str]:
    """Return in what evaluations of one model differ from each other, one text per record.

    Args:
        records: records of one board with the same name and start weights, each of another row.

    Returns:
        Runtime and precision, and those settings of the model that are not the same in all records, for example
        ``openvino int8, img_size=256``. The texts of runs that were trained are empty.
    """
    applied = [_list_applied_settings(record) for record in records]
    names = sorted(set().union(*applied))
    # what all rows share would make every name long and tell nothing apart; the record has it
    differing = [name for name in names if len({settings.get(name) for settings in applied}) > 1]
    return [
        ", ".join(
            filter(
                None,
                (
                    format_runtime(record),
                    *(f"{name}={settings[name]}" for name in differing if settings.get(name, "none") != "none"),
                ),
            )
        )
        for record, settings in zip(records, applied, strict=True)
    ]


def _list_applied_settings(record: Record) -> dict[str, str]:
    """Return the settings of an evaluated model by their dotted names, without runtime and precision."""
    if not record.is_evaluation:
        return {}
    own = {name: value for name, value in record.backbone.arguments.items() if name not in RUNTIME_SETTINGS}
    return {format_one_line(name): _format_value(value) for name, value in flatten_settings(own)}


def _format_value(value: object) -> str:
    # a record may be of anyone: any length, any characters
    text = format_one_line(format_setting(value))
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[: _MAX_VALUE_LENGTH - 3]}..."
