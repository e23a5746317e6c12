"""Make again, from a record alone, the request and the plan of its run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from backbones.card import BackboneCard
from backbones.registry import get_card
from backbones.weights import MEMORY_ARCHITECTURE, InitialWeights
from benchmarks.cell_record import complete_settings
from benchmarks.task_registry import TASKS
from engine.task import DataReport, RunPlan, RunRequest
from foundation.errors import BenchError, UnknownNameError
from results.records.flat_settings import find_changed_settings, flatten_settings
from results.records.record import Record

TEACHER_ENTRY = "teacher"
"""Entry besides the recipe that names the weights of a teacher, which a plan from a record alone does not read."""

PLANNING_SETTINGS = ("accumulate",)
"""Settings outside of the identity that a plan computes with: how many pieces a batch is cut into decides what batch
norm averages over."""


class ReplayedPlan(NamedTuple):
    """What a record's settings mean today.

    Attributes:
        plan: today's plan under these settings.
        file_values: value in the protocol's file of each setting in which the record differs from it, by dotted name;
            ``None`` where the file has no such setting.
        adapted: those of them that follow from what the backbone can or from the batch size, so that no command need
            name them.
        computed: names of entries besides the recipe (data scale, training data ...) that the plan computes otherwise
            than the record has them.
    """

    plan: RunPlan
    file_values: Mapping[str, Any]
    adapted: frozenset[str]
    computed: list[str]


def resolve_record_root(record: Record, root: Path) -> Path:
    """Return where the run says its data were, if ``root`` does not exist."""
    stated: Any = record.result.details.get("data_root") if record.result else None
    return Path(stated) if isinstance(stated, str) and not root.is_dir() else root


def find_changed_fields(record: Record, card: BackboneCard) -> list[str]:
    """Return the fields in which a card differs from the record's, of those that can change a number."""
    stated = record.backbone.card
    return [key for key, value in card.identity_dict().items() if key in stated and stated[key] != value]


def require_same_card(record: Record) -> BackboneCard:
    """Return the registry's card, if it is still equal to the record's.

    Raises:
        UnknownNameError: there is no such card, or it has changed since.
    """
    card = get_card(record.backbone.name)
    if changed := find_changed_fields(record, card):
        raise UnknownNameError(f"the card of {card.name} has changed since ({', '.join(changed)})")
    return card


def make_request(
    record: Record, card: BackboneCard, root: Path, device: str = "cpu", overrides: tuple[str, ...] = ()
) -> RunRequest:
    """Return a request for the record's cell that reads no weight file: to plan, or to load checkpoints.

    It says whether the run started from the card's weights, as what these can do may decide on a setting.

    Args:
        record: the record.
        card: the backbone's card.
        root: folder of the data sets.
        device: ``cpu``, ``cuda`` or ``mps``.
        overrides: settings that differ from the protocol's file.
    """
    return RunRequest(
        card=card,
        start=InitialWeights("card" if record.backbone.init == "card" else "random", None, None),
        protocol=record.protocol,
        tier=record.tier,
        seed=record.seed,
        overrides=overrides,
        data_root=root,
        device=device,
        allow_partial=record.backbone.allow_partial,
        data_scale=float(record.config.get("data_scale", 1.0)),
        reads_weights=False,
    )


def replan_run(record: Record, data: DataReport, root: Path) -> ReplayedPlan:
    """Plan the record's run again, with the settings in which it differs from the protocol's file as overrides.

    Args:
        record: the record.
        data: what ``check_data`` says of the data at hand.
        root: where these are.

    Raises:
        BenchError: the task, the protocol or a setting is not known here, or data for the training are missing.
    """
    task = TASKS.get(record.task)
    if record.protocol not in task.protocols:
        raise UnknownNameError(f"task {task.name} has no protocol {record.protocol!r}")
    request = make_request(record, _find_planning_card(record), root)
    in_file = task.plan(request, data)
    # what else the record lacks stays as in the file, and shows below as computed otherwise
    stated = complete_settings(in_file, record.config.get("recipe", {}))
    own = complete_settings(in_file, in_file.config["recipe"])
    changed = find_changed_settings(stated, own)
    file_values = find_changed_settings(stated, {**own, **in_file.file_settings})
    neutral = {
        name: record.non_identity_settings[name]
        for name in PLANNING_SETTINGS
        if name in record.non_identity_settings and name in in_file.non_identity_settings
    }
    named = {name: stated[name] for name in changed if name not in in_file.rate_settings} | neutral
    given = {name: stated[name] for name in in_file.rate_settings if name in stated}
    differing = {name: value for name, value in given.items() if name in changed}
    followed = _find_followed_rates(lambda words: task.plan(replace(request, overrides=words), data), named, differing)
    plan = task.plan(replace(request, overrides=format_overrides(named | given)), data)
    # through JSON, as the record has been: a tuple becomes a list
    again, before = json.loads(json.dumps(dict(plan.config))), record.config
    unread = {"recipe", *({TEACHER_ENTRY} - again.keys())}
    computed = [name for name in (again.keys() | before.keys()) - unread if again.get(name) != before.get(name)]
    computed += [name for name, value in flatten_settings(again["recipe"]) if (name, value) not in stated.items()]
    adapted = frozenset(file_values) - changed.keys() | followed
    # given beside another batch size: the file's value departs from the protocol, too
    file_values |= {name: stated[name] for name in plan.kept_settings if name not in file_values and name in stated}
    return ReplayedPlan(plan, file_values, adapted, sorted(computed))


def _find_followed_rates(
    make_plan: Callable[[tuple[str, ...]], RunPlan], settings: Mapping[str, Any], rates: Mapping[str, Any]
) -> set[str]:
    """Return the rates that a record has because of its batch size, so that no command need name them.

    Args:
        make_plan: plans the record's run with these overrides.
        settings: the overrides without rates.
        rates: the record's value of each rate that the protocol's rule covers and that is not the file's.
    """
    try:
        plan = make_plan(format_overrides(settings)) if rates else None
    except BenchError:  # without the record's own rates its settings do not fit each other
        plan = None
    if plan is None:
        return set()
    recipe = dict(flatten_settings(plan.config["recipe"]))
    return {name for name in plan.scaled_settings if recipe.get(name) == rates.get(name)}


def format_overrides(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return settings by dotted name as ``key=value`` texts, with values as Python literals."""
    return tuple(f"{name}={value!r}" for name, value in settings.items())


def _find_planning_card(record: Record) -> BackboneCard:
    """Return today's card, or for a backbone that is not known here one with the sizes that the record states."""
    try:
        return get_card(record.backbone.name)
    except BenchError:
        size = record.backbone.card.get("input_size", (3, 224, 224))
        # whether it has a class token cannot be asked, so the run's pooling is taken for what the backbone can
        prefix_tokens = 0 if record.backbone.arguments.get("global_pool") == "avg" else 1
        return BackboneCard(
            record.backbone.name,
            MEMORY_ARCHITECTURE,
            "",
            input_size=tuple(size),
            prefix_tokens=prefix_tokens,
        )
