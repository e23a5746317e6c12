"""Compare two backbones on one board: their difference with its uncertainty, and the items on which they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from foundation.errors import UserError
from results.leaderboard.departures import list_board_departures
from results.leaderboard.row_labels import (
    describe_variants,
    format_record_label,
    format_record_start,
    format_runtime,
    get_pretrain_method,
    get_start_kind,
    map_pretrain_methods,
)
from results.leaderboard.same_network import find_network_conflict, select_newest_seeds, split_by_network
from results.records.flat_settings import flatten_settings
from results.records.identity import build_run_identity, compute_candidate_digest
from results.records.record import CONFIDENCE_LEVEL, PRETRAINING_DOMAIN, Record
from results.records.version_differences import describe_version_differences
from results.statistics.estimates import IntervalEstimate, MetricSample, compute_difference
from results.statistics.ranking import RowSample, StoredRun, build_row_sample
from results.statistics.rounding import ROUNDING_TOLERANCE
from results.statistics.significance_tests import sign_flip_test


class ComparedBackbone(NamedTuple):
    """One of the two compared backbones.

    Attributes:
        label: its name and how it started.
        mean: mean of the metric over the seeds.
        seeds: the seeds, in ascending order.
        run_ids: the run of each seed.
    """

    label: str
    mean: float
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]


class ItemDifference(NamedTuple):
    """An item on which the two backbones differ, with its contribution to the metric of each."""

    item: str
    first: float
    second: float


class BackboneComparison(NamedTuple):
    """The first backbone minus the second one on one board, in the metric's unit.

    Attributes:
        task, protocol, tier, comparability: the board.
        metric, unit, higher_is_better: its primary metric.
        first, second: the two backbones.
        difference: mean of the first minus mean of the second.
        low, high: ends of the confidence interval of the difference.
        level: its confidence level, 0 to 1.
        p_value: two-sided p-value of this pair alone, not corrected for other comparisons.
        test_name: the test that gave the p-value.
        resampling_unit: "seeds x items"; "draws x items" if either backbone has one run with several draws of the
            training images; "items only" if either has one seed without draws.
        better, worse: items on which the first backbone is better or worse, the largest difference first.
        num_items: number of items on which both were scored.
        uses_pseudo_values: whether the values of items are pseudo-values, the contributions of the items to a score
            over all items. They can be below 0 or above 100 % for an item with classes that few items have.
        num_groups: number of groups of items that were left out in turn, if the metric is a function of all items.
            Then a single item has no value. ``None`` otherwise.
        version_differences: in which versions of bench and of libraries the runs differ, in words; empty if in none.
        departures: in which ways the runs depart from their protocol; empty if in none.
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
    version_differences: str = ""
    departures: tuple[str, ...] = ()


def compare_backbones(
    first_runs: Sequence[StoredRun], second_runs: Sequence[StoredRun], pretrain_methods: Mapping[str, str] | None = None
) -> BackboneComparison:
    """Compare two backbones by the primary metric of their board.

    Args:
        first_runs: the runs of the first backbone, one per seed.
        second_runs: the runs of the second backbone, one per seed.
        pretrain_methods: pre-training method by the SHA-256 of the weights it produced, for the labels.

    Raises:
        UserError: the two are not on the same board, were scored on different items, or are the same run.
        RecordError: a per-item file cannot be used.
    """
    one, other = first_runs[0][1], second_runs[0][1]
    require_comparable([record for _, record in (*first_runs, *second_runs)])
    if one.run_id == other.run_id:
        raise UserError(f"both are run {one.run_id}; name two runs that differ in backbone, weights or seed")
    assert one.result is not None
    rows = [build_row_sample(runs, one.result.primary_metric) for runs in (first_runs, second_runs)]
    return compare_row_samples((first_runs, rows[0]), (second_runs, rows[1]), pretrain_methods)


def compare_row_samples(
    first: tuple[Sequence[StoredRun], RowSample],
    second: tuple[Sequence[StoredRun], RowSample],
    pretrain_methods: Mapping[str, str] | None = None,
) -> BackboneComparison:
    """Compare two rows of one board whose samples were read before, so that many pairs need each file only once.

    Args:
        first: runs of the first backbone, one per seed, and their sample of the board's primary metric.
        second: those of the second backbone.
        pretrain_methods: pre-training method by the SHA-256 of the weights it produced, for the labels.

    Raises:
        UserError: the two were scored on different items, or their metric is computed differently.
    """
    (first_runs, first_row), (second_runs, second_row) = first, second
    one = first_runs[0][1]
    assert one.result is not None
    metric = one.result.metrics[one.result.primary_metric]
    if first_row.item_ids != second_row.item_ids:
        raise UserError("the two were not scored on the same items, so they cannot be compared")
    if first_row.statistic != second_row.statistic:
        raise UserError(
            f"{one.result.primary_metric} is computed from the items differently in each of the two, so they cannot be "
            "compared; run both with the same version of the task"
        )
    # both samples have their items in the same order (sorted by name), so they are paired by index
    ids, ours, theirs = first_row.item_ids, first_row.sample, second_row.sample
    found = compute_difference(ours, theirs)
    # a claim about seeds needs at least two on both sides
    several = ours.num_seeds > 1 and theirs.num_seeds > 1
    p = found.p_value if several else sign_flip_test(ours.item_values.mean(0) - theirs.item_values.mean(0))
    # several samples of a single run are the draws of a low-shot protocol
    unit = "draws" if len(first_runs) == 1 or len(second_runs) == 1 else "seeds"
    groups = first_row.num_groups
    # with a function of all rows there is no value per item, so no single item is better or worse
    better, worse = ((), ()) if groups else _compute_item_differences(ids, ours, theirs, metric.higher_is_better)
    return BackboneComparison(
        *(one.task, one.protocol, one.tier, one.comparability, one.result.primary_metric),
        *(metric.unit, metric.higher_is_better),
        *(
            _summarize_runs(first_runs, ours, pretrain_methods or {}),
            _summarize_runs(second_runs, theirs, pretrain_methods or {}),
        ),
        *(found.value, *_clip_difference(found, metric.unit), CONFIDENCE_LEVEL, p),
        test_name=f"mixture of Student's tails over {unit} and items"
        if several
        else _describe_sign_flips(ours, theirs, "group of items" if groups else "item"),
        resampling_unit=f"{unit} x items" if several else "items only",
        better=better,
        worse=worse,
        num_items=len(ids),
        # only pseudo-values have a mean that differs from the metric, because they are corrected for bias; those of AP
        # are moved back to it
        uses_pseudo_values=first_row.statistic.kind == "average_precision"
        or abs(ours.mean - float(ours.item_values.mean())) > ROUNDING_TOLERANCE,
        num_groups=groups,
        version_differences=describe_version_differences(record for _, record in (*first_runs, *second_runs)),
        departures=list_board_departures([record for _, record in (*first_runs, *second_runs)]),
    )


def require_comparable(records: Sequence[Record]) -> None:
    """Check that all records are complete and belong to the same board.

    Raises:
        UserError: a record is not complete, or the boards differ. The message names the settings that differ.
    """
    for record in records:
        if record.status != "complete" or record.result is None:
            raise UserError(f"run {record.run_id} is {record.status} and has no number; complete it first")
    first = records[0]
    for record in records[1:]:
        if record.comparability != first.comparability:
            apart = "; ".join(_describe_setting_differences(first, record)) or "their keys differ, but no setting does"
            raise UserError(f"runs {first.run_id} and {record.run_id} are not comparable: {apart}")


def group_runs_by_board(runs: Sequence[StoredRun], backbone_name: str) -> dict[str, list[StoredRun]]:
    """Return the complete runs of a backbone by comparability key, with the newest of several runs of a seed.

    Args:
        runs: all runs that a scan found.
        backbone_name: name of a backbone, or ``BACKBONE@START`` for one of its starts. ``START`` is ``random``,
            ``card``, a pre-training method, or the beginning of the SHA-256 of the weight file; of finished models
            also what computed them: ``torch``, ``openvino``, ``openvino int8``.

    Raises:
        UserError: on some board, the name is ambiguous because the backbone started from several sets of weights.
    """
    backbone, _, start = backbone_name.partition("@")
    made = map_pretrain_methods(runs)
    newest: dict[str, StoredRun] = {}  # by run_id; later attempts overwrite earlier ones
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
        # runs that differ only in their seed have the same digest; several digests mean several backbones or starts
        kinds = {compute_candidate_digest(record): record for _, record in same}
        _require_one_network(backbone_name, same)
        if len(kinds) > 1:
            starts = [format_record_start(record, made) for record in kinds.values()]
            variants = describe_variants(list(kinds.values()))
            runs_named = ", ".join(record.run_id for _, record in same)
            # the last word of a start's label distinguishes it: "random", or the beginning of a SHA-256
            last = sorted({text.split()[-1] for text in starts})
            # a start alone does not tell two runtimes or settings of one model apart
            if len(set(starts)) < len(starts) and any(variants):
                rows = [", ".join(filter(None, pair)) for pair in zip(starts, variants, strict=True)]
                raise UserError(
                    f"{backbone_name} is on the board of {same[0][1].task} in {len(kinds)} rows "
                    f"({'; '.join(sorted(rows))}); name two runs: {runs_named}"
                )
            raise UserError(
                f"{backbone_name} is on the board of {same[0][1].task} with {len(kinds)} different starts "
                f"({', '.join(sorted(starts))}); "
                + (f"name one of them, as in {backbone}@{last[0]}" if len(last) > 1 else f"name two runs: {runs_named}")
            )
    # of a seed that was run again under another id, as after a new version, only the newest run counts
    return {key: select_newest_seeds(same)[0] for key, same in boards.items()}


def _require_one_network(backbone_name: str, runs: Sequence[StoredRun]) -> None:
    """Check that runs of one name and start are of one network.

    Raises:
        UserError: the backbone's code was edited between the runs.
    """
    by_candidate: dict[str, list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_candidate[compute_candidate_digest(run[1])].append(run)
    for same in by_candidate.values():
        conflict = find_network_conflict([record for _, record in same])
        if conflict is None and len(split_by_network(same)) > 1:
            conflict = "its runs have different networks (its code was edited between them); name two runs"
        if conflict is not None:
            ids = ", ".join(record.run_id for _, record in same)
            raise UserError(f"{backbone_name} is not one backbone: {conflict} ({ids})")


def _matches_start(record: Record, start: str, pretrain_methods: Mapping[str, str]) -> bool:
    # fewer than four digits of a SHA-256 are too likely to match another file by chance
    words = [get_start_kind(record), get_pretrain_method(record, pretrain_methods)]
    if record.is_evaluation:
        computed_by = format_runtime(record) or "torch"
        words += [computed_by, computed_by.partition(" ")[0]]
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
    """Return the items on which the first backbone is better and those on which it is worse."""
    ours, theirs = first.item_values.mean(0), second.item_values.mean(0)
    gain = (ours - theirs) * (1 if higher_is_better else -1)
    # means over seeds of equal outcomes can differ in the last digits; such items are neither better nor worse
    tolerance = ROUNDING_TOLERANCE * max(1.0, float(np.abs(ours).max()), float(np.abs(theirs).max()))
    order = np.argsort(-np.abs(gain), kind="stable").tolist()
    flips = {place: ItemDifference(ids[place], float(ours[place]), float(theirs[place])) for place in order}
    better = tuple(flips[place] for place in order if gain[place] > tolerance)
    return better, tuple(flips[place] for place in order if gain[place] < -tolerance)


def _clip_difference(found: IntervalEstimate, unit: str) -> tuple[float, float]:
    """Return the ends of an interval; two percentages are 100 points apart at most."""
    return (max(found.low, -100.0), min(found.high, 100.0)) if unit == "%" else (found.low, found.high)


def _describe_sign_flips(first: MetricSample, second: MetricSample, unit: str) -> str:
    """Name the test over the items of two samples, of which one has a single seed."""
    # sign flips are McNemar's exact test if all differences that are not 0 have the same size
    sizes = np.abs(first.item_values.mean(0) - second.item_values.mean(0))
    apart = sizes[sizes > ROUNDING_TOLERANCE * max(1.0, float(sizes.max()))]
    one_size = len(apart) == 0 or np.ptp(apart) < ROUNDING_TOLERANCE * apart.max()
    return "McNemar, exact" if one_size else f"sign flips by {unit}"


def _describe_setting_differences(first: Record, second: Record) -> Iterator[str]:
    """Yield one phrase for each setting in which the boards of two records differ.

    If the task, the protocol or the tier differs, only that is reported: all the rest then differs as well.
    """
    ours, theirs = (dict(flatten_settings(build_run_identity(record).protocol_fields)) for record in (first, second))
    names = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    for name in [name for name in ("task", "protocol", "tier") if name in names][:1] or names:
        yield f"{name} {_shorten_value(ours.get(name))} and {_shorten_value(theirs.get(name))}"


def _shorten_value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
