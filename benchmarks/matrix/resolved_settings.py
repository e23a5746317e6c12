"""List every setting of a run with its value and where the value comes from, before anything is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from benchmarks.cell_record import complete_settings
from benchmarks.resolve_cell import CellParts
from engine.task import PreparedBackbone
from foundation.errors import BenchError
from results.records.flat_settings import flatten_settings

SettingSource = Literal["protocol", "tier", "--set", "batch_size", "the backbone", "derived"]
"""``protocol``: its file, or the default of the setting. ``tier``: what the tier changes. ``--set``: the user.
``batch_size``: a rate that follows it by the protocol's rule. ``the backbone``: it cannot follow the protocol.
``derived``: follows from the data, the backbone or the machine."""

_MISSING = object()
"""Stands for a setting that another plan does not have; ``None`` is a value."""


class ResolvedSetting(NamedTuple):
    """One setting.

    Attributes:
        name: dotted name, as ``--set`` takes it.
        value: its value.
        source: where the value comes from.
        counts: whether it is part of the run's id, because it can change the number.
    """

    name: str
    value: Any
    source: SettingSource
    counts: bool


def list_resolved_settings(parts: CellParts) -> list[ResolvedSetting]:
    """List the settings of a cell: those that can change its number, and the others.

    Args:
        parts: what the cell resolves to.
    """
    return [*_list_counting_settings(parts), *_list_other_settings(parts)]


def _list_counting_settings(parts: CellParts) -> Iterator[ResolvedSetting]:
    recipe = parts.plan.config.get("recipe", {})
    named = {word.partition("=")[0].strip() for word in parts.request.overrides}
    full = _plan_settings(parts, "full")
    for name, value in complete_settings(parts.plan, recipe).items():
        source: SettingSource = "protocol"
        if name in named:
            source = "--set"
        elif name in parts.plan.scaled_settings:
            source = "batch_size"
        elif name in parts.plan.file_settings:
            source = "the backbone"
        elif full is not None and full.get(name, _MISSING) != value:
            source = "tier"
        yield ResolvedSetting(name, value, source, counts=True)
    rest = {name: value for name, value in parts.plan.config.items() if name != "recipe"}
    yield from (ResolvedSetting(name, value, "derived", counts=True) for name, value in flatten_settings(rest))


def _plan_settings(parts: CellParts, tier: Literal["full"]) -> dict[str, Any] | None:
    """Return the recipe that the same request has at another tier; ``None`` if it could not be planned."""
    if parts.request.tier == tier:
        return None
    # what the user set may fit this tier alone, such as few epochs without a warm-up, or a limit
    for overrides in (parts.request.overrides, ()):
        # a backbone of its own, so that the one that a run has prepared stays
        request = replace(parts.request, tier=tier, overrides=overrides, prepared=PreparedBackbone())
        with contextlib.suppress(BenchError):
            plan = parts.task.plan(request, parts.data)
            return complete_settings(plan, plan.config.get("recipe", {}))
    return None


def _list_other_settings(parts: CellParts) -> Iterator[ResolvedSetting]:
    named = {word.partition("=")[0].strip() for word in parts.request.overrides}
    for name, value in flatten_settings(parts.plan.non_identity_settings):
        yield ResolvedSetting(name, value, "--set" if name in named else "protocol", counts=False)
