"""Two backbones on one board: their difference with its uncertainty, and the items on which they part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from foundation.errors import UserError
from results.leaderboard.table import (
    format_record_label,
    format_record_start,
    get_pretrain_method,
    get_start_kind,
    map_pretrain_methods,
)
from results.records.flat_settings import flatten_settings
from results.records.identity import build_run_identity, compute_candidate_digest
from results.records.record import CONFIDENCE_LEVEL, PRETRAINING_DOMAIN, Record
from results.statistics.estimates import MetricSample, compute_difference
from results.statistics.ranking import StoredRun, build_row_sample
from results.statistics.rounding import ROUNDING_TOLERANCE
from results.statistics.significance_tests import compute_pairwise_p_values


class ComparedBackbone(NamedTuple):
    """One of the two: its name with its start, its mean over seeds, and where it comes from."""

    label: str
    mean: float
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]


class ItemDifference(NamedTuple):
    """An item on which the two part, with what it adds to the metric of each."""

    item: str
    first: float
    second: float


class BackboneComparison(NamedTuple):
    """First less second on one board, in the metric's unit.

    Attributes:
        low, high: of the difference, at ``level``.
        p_value: two-sided, of this pair alone.
        test_name: what gave it.
        resampling_unit: "seeds x items", or "items only" where either has one seed.
        better, worse: items on which the first is better, worse, by how far; the farthest first.
        num_items: on which both were scored.
        uses_pseudo_values: an item's number is its pseudo-value: what the score over all owes it, below 0 or above
            100 % where it holds classes that few items hold.
        num_groups: groups of items that were left out in turn, of a metric that is a function of all items; then no
            item has a number of its own. ``None`` otherwise.
    """

    task: str
    protocol: str
    tier: str
    comparability: str
    metric: str
    unit: str
    higher_is_better: bool
    first: ComparedBackbone
    second: ComparedBackbone
    difference: float
    low: float
    high: float
    level: float
    p_value: float
    test_name: str
    resampling_unit: str
    better: tuple[ItemDifference, ...]
    worse: tuple[ItemDifference, ...]
    num_items: int
    uses_pseudo_values: bool
    num_groups: int | None


def compare_backbones(
    first_runs: Sequence[StoredRun], second_runs: Sequence[StoredRun], pretrain_methods: Mapping[str, str] | None = None
) -> BackboneComparison:
    """Compare two backbones by their board's primary metric.

    Args:
        first_runs: its runs, a seed each.
        second_runs: likewise.
        pretrain_methods: methods of pre-trainings by the SHA-256 of their weights, for the labels.

    Raises:
        UserError: they are not on one board, or are one run.
        RecordError: a per-item file cannot be used.
    """
    one, other = first_runs[0][1], second_runs[0][1]
    require_comparable([record for _, record in (*first_runs, *second_runs)])
    if one.run_id == other.run_id:
        raise UserError(f"both are run {one.run_id}; name two runs that differ in backbone, weights or seed")
    assert one.result is not None
    metric = one.result.metrics[one.result.primary_metric]
    first_row, second_row = (build_row_sample(runs, one.result.primary_metric) for runs in (first_runs, second_runs))
    if first_row.item_ids != second_row.item_ids:
        raise UserError("the two were not scored on the same items, so they cannot be compared")
    if first_row.statistic != second_row.statistic:
        raise UserError(
            f"{one.result.primary_metric} follows from the items in another way in each of the two, so they cannot be "
            "compared; run both with one version of the task"
        )
    ids, ours, theirs = first_row.item_ids, first_row.sample, second_row.sample
    found, p = compute_difference(ours, theirs), float(compute_pairwise_p_values([ours, theirs])[0, 1])
    groups = first_row.num_groups
    better, worse = ((), ()) if groups else _compute_item_differences(ids, ours, theirs, metric.higher_is_better)
    several = ours.num_seeds > 1 and theirs.num_seeds > 1
    return BackboneComparison(
        *(one.task, one.protocol, one.tier, one.comparability, one.result.primary_metric),
        *(metric.unit, metric.higher_is_better),
        *(
            _summarize_runs(first_runs, ours, pretrain_methods or {}),
            _summarize_runs(second_runs, theirs, pretrain_methods or {}),
        ),
        *(found.value, found.low, found.high, CONFIDENCE_LEVEL, p),
        test_name=_describe_test(ours, theirs, "group of items" if groups else "item"),
        resampling_unit="seeds x items" if several else "items only",
        better=better,
        worse=worse,
        num_items=len(ids),
        uses_pseudo_values=abs(ours.mean - float(ours.item_values.mean())) > ROUNDING_TOLERANCE,
        num_groups=groups,
    )


def require_comparable(records: Sequence[Record]) -> None:
    """Pass complete records of one board.

    Raises:
        UserError: naming what differs, or what is not complete.
    """
    for record in records:
        if record.status != "complete" or record.result is None:
            raise UserError(f"run {record.run_id} is {record.status} and has no number; run it to its end")
    first = records[0]
    for record in records[1:]:
        if record.comparability != first.comparability:
            apart = "; ".join(_describe_setting_differences(first, record)) or "their keys differ, but no setting does"
            raise UserError(f"runs {first.run_id} and {record.run_id} are not comparable: {apart}")


def group_runs_by_board(runs: Sequence[StoredRun], backbone_name: str) -> dict[str, list[StoredRun]]:
    """The complete runs of a backbone by comparability key; of several attempts at a run the newest.

    Args:
        runs: what a scan found.
        backbone_name: a backbone, or ``BACKBONE@START`` for one of its starts: ``random``, ``card``, the method of a
            pre-training, or the beginning of the weight file's SHA-256.

    Raises:
        UserError: the name stands for several sets of start weights on one board.
    """
    backbone, _, start = backbone_name.partition("@")
    made = map_pretrain_methods(runs)
    newest: dict[str, StoredRun] = {}
    for folder, record in sorted(runs, key=lambda run: run[1].environment.started):
        chosen = (
            record.backbone.name == backbone and record.status == "complete" and record.domain != PRETRAINING_DOMAIN
        )
        if chosen and _matches_start(record, start, made):
            newest[record.run_id] = folder, record
    boards: dict[str, list[StoredRun]] = defaultdict(list)
    for folder, record in newest.values():
        boards[record.comparability].append((folder, record))
    for same in boards.values():
        kinds = {compute_candidate_digest(record): record for _, record in same}
        if len(kinds) > 1:
            starts = [format_record_start(record, made) for record in kinds.values()]
            runs_named = ", ".join(record.run_id for _, record in same)
            last = sorted({text.split()[-1] for text in starts})  # random, or the beginning of a SHA-256
            raise UserError(
                f"{backbone_name} stands on the board of {same[0][1].task} with {len(kinds)} different starts "
                f"({', '.join(sorted(starts))}); "
                + (f"name one of them, as in {backbone}@{last[0]}" if len(last) > 1 else f"name two runs: {runs_named}")
            )
    return dict(boards)


def _matches_start(record: Record, start: str, pretrain_methods: Mapping[str, str]) -> bool:
    words = (get_start_kind(record), get_pretrain_method(record, pretrain_methods))
    return not start or start in words or (len(start) > 3 and record.start_sha256.startswith(start))


def _summarize_runs(
    runs: Sequence[StoredRun], sample: MetricSample, pretrain_methods: Mapping[str, str]
) -> ComparedBackbone:
    records = sorted((record for _, record in runs), key=lambda record: record.seed)
    seeds, ids = tuple(record.seed for record in records), tuple(record.run_id for record in records)
    return ComparedBackbone(format_record_label(records[0], pretrain_methods), sample.mean, seeds, ids)


def _compute_item_differences(
    ids: tuple[str, ...], first: MetricSample, second: MetricSample, higher_is_better: bool
) -> tuple[tuple[ItemDifference, ...], tuple[ItemDifference, ...]]:
    """Items on which the first is better, and on which it is worse."""
    ours, theirs = first.item_values.mean(0), second.item_values.mean(0)
    gain = (ours - theirs) * (1 if higher_is_better else -1)
    tolerance = ROUNDING_TOLERANCE * max(1.0, float(np.abs(ours).max()), float(np.abs(theirs).max()))
    order = np.argsort(-np.abs(gain), kind="stable").tolist()
    flips = {place: ItemDifference(ids[place], float(ours[place]), float(theirs[place])) for place in order}
    better = tuple(flips[place] for place in order if gain[place] > tolerance)
    return better, tuple(flips[place] for place in order if gain[place] < -tolerance)


def _describe_test(first: MetricSample, second: MetricSample, unit: str) -> str:
    if first.num_seeds > 1 and second.num_seeds > 1:
        return "mixture of Student's tails over seeds and items"
    sizes = np.abs(first.item_values.mean(0) - second.item_values.mean(0))
    apart = sizes[sizes > ROUNDING_TOLERANCE * max(1.0, float(sizes.max()))]
    one_size = len(apart) == 0 or np.ptp(apart) < ROUNDING_TOLERANCE * apart.max()
    return "McNemar, exact" if one_size else f"sign flips by {unit}"


def _describe_setting_differences(first: Record, second: Record) -> Iterator[str]:
    """What two records' boards differ in, a phrase each; of another task or protocol nothing more is said."""
    ours, theirs = (dict(flatten_settings(build_run_identity(record).protocol_fields)) for record in (first, second))
    names = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    for name in [name for name in ("task", "protocol", "tier") if name in names][:1] or names:
        yield f"{name} {_shorten_value(ours.get(name))} and {_shorten_value(theirs.get(name))}"


def _shorten_value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
