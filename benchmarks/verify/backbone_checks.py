"""Check a record's backbone against the registry as it is today: card, digests of the model, parameters, operations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from backbones.card import BackboneCard
from backbones.registry import BACKBONES, TIMM_PREFIX, get_card
from benchmarks.cell_record import MEASURING_ERRORS, get_input_size
from benchmarks.verify.replay import find_changed_fields
from engine.run_environment import collect_package_versions
from foundation.errors import BenchError
from foundation.run_scope import memoize_in_run
from results.records.record import Record
from results.records.verification import CheckState, VerificationCheck

DEFINING_PACKAGES = ("litevit-bench", "timm", "torch")
"""Packages that define bench's own backbones, timm's, and how both are counted."""

MODEL_VERSION = 5
"""The schema version from which on records hold digests of the model as built."""


class _BuiltBackbone(NamedTuple):
    """A backbone as it is built here: its digests by kind, and the counts of a record's ``cost.efficiency``."""

    model: dict[str, str]
    counts: dict[str, Any]


def check_backbone(record: Record) -> Iterator[VerificationCheck]:
    """Check card, model, parameters and operations of a record's backbone.

    A difference fails where the packages are those of the run; with other versions it may be theirs.
    """
    if record.backbone.init == "memory":
        yield VerificationCheck("card", "unchecked", "the module was in memory, and ended with its process")
        return
    try:
        card = get_card(record.backbone.name)
    except BenchError as error:
        yield VerificationCheck("card", "unchecked", str(error))
        return
    state = _judge_difference(record)
    if changed := find_changed_fields(record, card):
        text = f"the card of {card.name} here has another {' and '.join(changed)} than the record's"
        yield VerificationCheck("card", state, text)
        return
    yield VerificationCheck("card", "holds", f"that of {card.name} here")
    yield from _check_built_backbone(record, card, state)


def _judge_difference(record: Record) -> CheckState:
    """Return what a difference from today's registry means: a fault where nothing but the record can have changed."""
    name, here = record.backbone.name, collect_package_versions()
    # a card of the user or of a plug-in may have been changed since, whatever the versions of the packages say
    is_ours = name.startswith(TIMM_PREFIX) or BACKBONES.get_origin(name) == "bench"
    same = all(here.get(package) == record.environment.packages.get(package) for package in DEFINING_PACKAGES)
    return "fails" if is_ours and same else "unchecked"


def _check_built_backbone(record: Record, card: BackboneCard, state: CheckState) -> Iterator[VerificationCheck]:
    """Build the backbone as it was created for the run, describe it and count it again."""
    backbone, cost = record.backbone, record.cost.efficiency if record.cost else None
    try:
        built = _build_backbone(card.name, json.dumps(backbone.arguments, sort_keys=True))
    except (BenchError, *MEASURING_ERRORS) as error:
        yield VerificationCheck("model", "unchecked", f"{card.name} cannot be built here: {error}")
        return
    if backbone.model is not None:
        differing = [kind for kind, digest in built.model.items() if backbone.model.get(kind) != digest]
        differing += [kind for kind in backbone.model if kind not in built.model]
        if differing:
            text = f"built here, {card.name} has another {' and '.join(differing)} than the record's"
            yield VerificationCheck("model", state, text)
        else:
            yield VerificationCheck("model", "holds", f"built here, it has the same {' and '.join(built.model)}")
    elif record.schema_version >= MODEL_VERSION:
        yield VerificationCheck("model", "unchecked", "the record holds no digest of it")
    counted = dict(built.counts)
    stated: dict[str, Any] = {} if cost is None else {name: getattr(cost, name) for name in counted}
    # in the other domains the record's own number is that of the whole model: with decode head, or as a tracker
    if record.domain == "classification" and backbone.parameters is not None:
        stated["backbone.parameters"], counted["backbone.parameters"] = backbone.parameters, counted["parameters"]
    wrong = [f"{name} {value}, counted {counted[name]}" for name, value in stated.items() if value != counted[name]]
    if wrong:
        yield VerificationCheck("parameters", state, f"the record says {'; '.join(wrong)}")
    elif stated:
        text = f"{counted['parameters']:,} parameters and {counted['macs']:,} MACs are counted again"
        yield VerificationCheck("parameters", "holds", text)


@memoize_in_run  # a folder may hold hundreds of runs of one backbone
def _build_backbone(name: str, arguments: str) -> _BuiltBackbone:
    from backbones.cost.measure_cost import measure_efficiency
    from backbones.create import create_backbone
    from backbones.model_digest import describe_model

    card, model_kwargs = get_card(name), json.loads(arguments)
    model = create_backbone(card, checkpoint="random", **model_kwargs).model
    return _BuiltBackbone(
        describe_model(card, model_kwargs, lambda: model).identity_dict(),
        measure_efficiency(model, get_input_size(card, model_kwargs), "cpu", with_timing=False),
    )
