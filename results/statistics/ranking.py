"""Where the rows of one board stand: interval, rank, and the rows each is tied with."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from foundation.errors import RecordError
from results.records.identity import compute_digest
from results.records.record import CONFIDENCE_LEVEL, ConfidenceInterval, MetricValue, Record
from results.statistics import statistics_cache
from results.statistics.estimates import MetricSample, compute_interval, is_proportion
from results.statistics.intervals import student_t_interval
from results.statistics.item_files import list_item_files
from results.statistics.metric_statistics import MetricStatistic
from results.statistics.per_item_outcomes import build_sample, read_item_outcomes
from results.statistics.significance_tests import compute_pairwise_p_values, group_tied_rows
from results.statistics.statistic_functions import describe_statistic_function

StoredRun = tuple[Path, Record]
"""A run's folder and its complete record."""

RANKING_VERSION = 2
"""Raised whenever a standing changes for the same files; part of the key of what is kept on disk."""


class RankResult(NamedTuple):
    """Where a row stands on its board.

    Attributes:
        interval: of the row's mean over its seeds; its ``resampling_unit`` says what it covers ("items only" for one
            seed). Where the per-item files cannot be used: the record's own for one seed, over "seeds only" for
            several.
        rank: from 1; rows whose difference is not resolved share one. ``None``: not ranked, see ``note``.
        tied_with: the other rows that share the rank, by their place in what was given.
        note: why the row has no rank, or what else its reader should know; empty otherwise.
    """

    interval: ConfidenceInterval | None
    rank: int | None
    tied_with: tuple[int, ...]
    note: str


class RowSample(NamedTuple):
    """A row's measurements of one metric.

    Attributes:
        item_ids: of the items, in the order of their names.
        sample: in that order; of a function of all rows, by group of items where there are 100 items or more.
        statistic: how the metric follows from the items.
    """

    item_ids: tuple[str, ...]
    sample: MetricSample
    statistic: MetricStatistic

    @property
    def num_groups(self) -> int | None:
        """Groups of items that were left out in turn; ``None`` where the sample has a value an item."""
        count = self.sample.item_values.shape[1]
        return count if count < len(self.item_ids) else None


def rank_rows(rows: Sequence[Sequence[StoredRun]], metric: str, higher_is_better: bool) -> tuple[RankResult, ...]:
    """Rank the rows of one board by a metric, from the per-item files beside the records.

    What was found is kept in ``$BENCH_CACHE/statistics`` under the hashes that the records state and the size and
    time of every file; a file that changed is read and hashed again.

    Args:
        rows: each the runs (seeds) of one backbone; all of one comparability key.
        metric: its name in the records.
        higher_is_better: its direction.

    Returns:
        One entry a row, in the order given.

    Raises:
        RecordError: a record gives the metric another direction.
    """
    for folder, record in (run for runs in rows for run in runs):
        if _get_metric(record, metric).higher_is_better != higher_is_better:
            raise RecordError(f"{folder} gives {metric} another direction than its board; such runs cannot be ranked")
    key = _compute_cache_key(rows, metric)
    found = _load_cached_ranks(key, len(rows))
    if found is None:
        found = _compute_ranks(rows, metric, higher_is_better)
        statistics_cache.store_statistics(key, [_rank_to_dict(standing) for standing in found])
    return found


def build_row_sample(runs: Sequence[StoredRun], metric: str) -> RowSample:
    """A row's sample, its items in the order of their names.

    Raises:
        RecordError: a per-item file cannot be used, or the seeds were scored on different items.
    """
    outcomes = [read_item_outcomes(folder, record, metric) for folder, record in runs]
    ids = tuple(sorted(outcomes[0].item_ids, key=lambda name: (len(name), name)))
    return RowSample(ids, build_sample(outcomes, ids), outcomes[0].statistic)


def compute_row_interval(row_sample: RowSample, runs: Sequence[StoredRun], metric: str) -> ConfidenceInterval:
    """A sample's interval as it stands on a board: within 0 to 100 where the unit is percent."""
    sample = row_sample.sample
    found = compute_interval(sample)
    low, high = found.low, found.high
    if _get_metric(runs[0][1], metric).unit == "%":
        low, high = max(low, 0.0), min(high, 100.0)
    if len(runs) > 1:
        method, over = f"seeds and items, {len(runs)} seeds", "seeds x items"
    elif sample.num_seeds > 1:
        method, over = f"draws and items, {sample.num_seeds} draws", "draws x items"
    else:
        groups = f"{row_sample.num_groups} groups of items" if row_sample.num_groups else "items"
        method, over = "wilson" if is_proportion(sample) else f"Student's t, {groups} left out in turn", "items only"
    return ConfidenceInterval(low=low, high=high, level=CONFIDENCE_LEVEL, method=method, resampling_unit=over)


def _compute_ranks(rows: Sequence[Sequence[StoredRun]], metric: str, higher_is_better: bool) -> tuple[RankResult, ...]:
    found: dict[int, RowSample] = {}
    standings: dict[int, RankResult] = {}
    for place, runs in enumerate(rows):
        try:
            found[place] = build_row_sample(runs, metric)
        except RecordError as error:
            standings[place] = RankResult(_interval_from_records(runs, metric), None, (), str(error))
    for place, reason in _find_outliers(found).items():
        alone = compute_row_interval(found.pop(place), rows[place], metric)
        standings[place] = RankResult(alone, None, (), reason)
    ranked = sorted(found)
    samples = {place: found[place].sample for place in ranked}
    rank = 1
    means = np.array([samples[place].mean for place in ranked])
    groups = (
        group_tied_rows(means, compute_pairwise_p_values([samples[place] for place in ranked]), higher_is_better)
        if ranked
        else []
    )
    several = {place for place in ranked if samples[place].num_seeds > 1}
    once = "one seed: its rank is of this training alone, other rows' is of their mean over seeds"
    notes = {place: [once] if several and place not in several else [] for place in ranked}
    for group in groups:
        members = [ranked[row] for row in group.rows]
        for place in members:
            tied = tuple(other for other in members if other != place)
            own = compute_row_interval(found[place], rows[place], metric)
            standings[place] = RankResult(own, rank, tied, "; ".join(notes[place]))
        for row in group.unresolved:
            notes[ranked[row]].append(f"not resolved from the best of rank {rank} either")
        rank += len(members)
    return tuple(standings[place] for place in range(len(rows)))


def _find_outliers(samples: Mapping[int, RowSample]) -> dict[int, str]:
    """The rows that cannot be paired with most of their board, each with the reason."""
    outliers = {}
    if samples:
        usual_items = Counter(row.item_ids for row in samples.values()).most_common(1)[0][0]
        same = {place: row for place, row in samples.items() if row.item_ids == usual_items}
        usual_statistic = Counter(row.statistic for row in same.values()).most_common(1)[0][0]
        for place, row in samples.items():
            if row.item_ids != usual_items:
                outliers[place] = "it was scored on other items than the rest of the board"
            elif row.statistic != usual_statistic:
                outliers[place] = "its metric follows from the items in another way than on the rest of the board"
    return outliers


def _get_metric(record: Record, metric: str) -> MetricValue:
    if record.result is None or metric not in record.result.metrics:
        raise RecordError(f"run {record.run_id} has no metric {metric}; only complete runs of one task can be ranked")
    return record.result.metrics[metric]


def _interval_from_records(runs: Sequence[StoredRun], metric: str) -> ConfidenceInterval | None:
    """What the records alone say."""
    if len(runs) == 1:
        return _get_metric(runs[0][1], metric).interval
    return student_t_interval(
        [_get_metric(record, metric).value for _, record in runs], resampling_unit="seeds only", level=CONFIDENCE_LEVEL
    )


def _compute_cache_key(rows: Sequence[Sequence[StoredRun]], metric: str) -> str:
    """Of everything that the standings follow from: records, state of the files, and functions that are not ours."""
    made_of: list[list[Any]] = []
    functions = set()
    for folder, record in (run for runs in rows for run in runs):
        stated = _get_metric(record, metric)
        made_of.append(
            [record.run_id, record.expected, stated.value, stated.unit, stated.higher_is_better, str(folder)]
        )
        if stated.statistic is not None:
            made_of[-1].append(stated.statistic.model_dump())
            functions |= {stated.statistic.function} if stated.statistic.kind == "function" else set()
        with contextlib.suppress(RecordError):  # it is told when the files are read
            made_of[-1] += [
                [sha256, _read_file_state(path)] for path, sha256 in list_item_files(folder, record).items()
            ]
    content = {"version": RANKING_VERSION, "metric": metric, "rows": [len(runs) for runs in rows], "runs": made_of}
    if functions:  # what is not installed, or of another version, gives other standings
        content["functions"] = [describe_statistic_function(str(name)) for name in sorted(map(str, functions))]
    return compute_digest(content)


def _read_file_state(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _load_cached_ranks(key: str, rows: int) -> tuple[RankResult, ...] | None:
    """Standings that were kept; ``None`` where there are none or they are not whole."""
    try:
        found = [_rank_from_dict(entry) for entry in statistics_cache.load_statistics(key)]
    except (ValueError, TypeError, KeyError, ValidationError):
        return None
    return tuple(found) if len(found) == rows else None


def _rank_to_dict(rank_result: RankResult) -> dict[str, Any]:
    interval = rank_result.interval
    return rank_result._asdict() | {"interval": interval.model_dump() if interval else None}


def _rank_from_dict(entry: dict[str, Any]) -> RankResult:
    found = ConfidenceInterval.model_validate(entry["interval"]) if entry["interval"] is not None else None
    rank = None if entry["rank"] is None else int(entry["rank"])
    return RankResult(found, rank, tuple(map(int, entry["tied_with"])), str(entry["note"]))
