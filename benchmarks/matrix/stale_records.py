"""Say why a complete record no longer answers a request: what its identity has that the request's does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks.cell_record import list_changed_settings
from benchmarks.resolve_cell import CellParts
from results.records.flat_settings import flatten_settings
from results.records.identity import RunIdentity, build_run_identity
from results.records.record import Record

_MAX_CHANGES = 6
"""Maximum number of changes that a reason lists."""

_MAX_VALUE_LENGTH = 40
"""Maximum number of characters of a value in a reason."""


def is_earlier_version(record: Record, parts: CellParts, seed: int) -> bool:
    """Return whether a record answered the same request before something outside of the request changed.

    The same request means: task, protocol, backbone, tier, seed, kind and place of the start weights, fraction of the
    data, and the settings that the user changed, with their values.

    Args:
        record: a record.
        parts: what the request resolves to now.
        seed: the request's seed.
    """
    backbone, request = record.backbone, parts.request
    if record.status != "complete" or record.task != parts.task.name:
        return False
    same = (
        record.protocol == request.protocol
        and backbone.name == request.card.name
        and record.tier == request.tier
        and record.seed == seed
        and backbone.init == request.start.init
        and backbone.allow_partial == request.allow_partial
        and record.config.get("data_scale") == parts.plan.config.get("data_scale")
    )
    return same and _has_same_start(record, parts) and _has_same_settings(record, parts)


def _has_same_start(record: Record, parts: CellParts) -> bool:
    """A file that the user named is another start if its path and its content differ, not if one of the two does."""
    if record.backbone.init != "checkpoint":
        return True  # the card names one file, whatever it holds
    before, now = record.backbone.checkpoint, parts.backbone.checkpoint
    return before is not None and now is not None and (before.uri == now.uri or before.sha256 == now.sha256)


def _has_same_settings(record: Record, parts: CellParts) -> bool:
    recipe = parts.plan.config.get("recipe", {})
    before, now = (dict(flatten_settings(each)) for each in (record.config.get("recipe", {}), recipe))
    if record.changed_settings is None:  # a record of this age does not say what the user changed
        return before == now or not parts.request.overrides
    changed = set(list_changed_settings(parts.task, parts.request, parts.data, parts.plan))
    stated, plan = set(record.changed_settings), parts.plan
    # A record of a version in which no rate followed the batch size does not name the rates that do now, nor those
    # that are given beside it with the value in the file; the same was asked for.
    is_same = stated <= changed and changed - stated <= {*plan.scaled_settings, *plan.kept_settings}
    return is_same and all(before.get(name) == now.get(name) for name in stated)


def describe_changes(record: Record, identity: RunIdentity) -> str:
    """Return what changed since a record was made, in words.

    Args:
        record: a complete record.
        identity: what the same request stands for now.

    Returns:
        For example ``protocol version 3 -> 4; recipe.epochs: 5 -> 10``.
    """
    before = build_run_identity(record)
    changes = list(_list_changes(_join(before), _join(identity)))
    more = [f"{len(changes) - _MAX_CHANGES} more"] if len(changes) > _MAX_CHANGES else []
    return "; ".join([*changes[:_MAX_CHANGES], *more]) or "the same fields, but another id"


def _join(identity: RunIdentity) -> dict[str, Any]:
    return {**identity.protocol_fields, **identity.candidate_fields}


_DIGESTS = {"data": "other data", "checkpoint": "other weight file", "task_source": "other code of the task"}
"""Fields that are digests of something, and what it means when they differ."""

_MODEL_DIGESTS = {
    "structure": "another network is built",
    "attributes": "other attributes of the backbone's modules",
    "source": "other code of the backbone",
}


def _list_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before["protocol_version"] != now["protocol_version"]:
        yield f"protocol version {before['protocol_version']} -> {now['protocol_version']}"
    for name, words in _DIGESTS.items():
        old, new = before.get(name), now.get(name)
        if old != new:
            yield f"{words} ({str(old)[:8]} -> {str(new)[:8]})"
    old, new = before.get("model"), now.get("model")
    if old is None and new is not None:
        yield "the record is of an earlier version of bench, which did not describe the network"
    elif old != new:
        yield from (words for name, words in _MODEL_DIGESTS.items() if (old or {}).get(name) != (new or {}).get(name))
    groups = (("config", ""), ("card", "card."), ("arguments", "backbone argument "))
    for group, prefix in groups:
        yield from (f"{prefix}{change}" for change in _list_value_changes(before[group], now[group]))


def _list_value_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[str]:
    old, new = dict(flatten_settings(before)), dict(flatten_settings(now))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield f"{name.removeprefix('recipe.')}: {_shorten(old.get(name))} -> {_shorten(new.get(name))}"


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}..."
