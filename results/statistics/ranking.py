"""Rank the rows of one board: the interval and rank of each row, and the rows with which it is tied."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
from results.statistics.rounding import is_same_up_to_rounding
from results.statistics.significance_tests import (
    compute_item_p_values,
    compute_pairwise_p_values,
    group_tied_rows,
)
from results.statistics.statistic_functions import describe_statistic_function

StoredRun = tuple[Path, Record]
"""A run's folder and its complete record."""

_Value = TypeVar("_Value", bound=Hashable)

RANKING_VERSION = 7
"""Increase it whenever the result for the same files changes, texts included; it is part of the cache key."""

ONE_SEED_NOTE = "one seed: items only"
"""The note of a row that has no rank because it was trained once: its score may be the luck of its seed."""


class RankResult(NamedTuple):
    """The rank of a row on its board.

    Attributes:
        interval: confidence interval of the row's mean over its seeds. Its ``resampling_unit`` says what it covers
            ("items only" for one seed). If the per-item files cannot be used, it is the record's own interval for one
            seed, and an interval over "seeds only" for several.
        rank: from 1, among the rows with two or more seeds, or among finished models, which have none. Rows whose
            difference is not significant share a rank. ``None`` if the row is not ranked.
        tied_with: the other rows that share the rank, as indices of the rows that were given.
        note: why the row has no rank, or what else a reader should know; otherwise empty.
    """

    interval: ConfidenceInterval | None
    rank: int | None
    tied_with: tuple[int, ...]
    note: str


class RowSample(NamedTuple):
    """The sample of one row of a board for one metric.

    Attributes:
        item_ids: names of the items, sorted.
        sample: the sample, with its items in that order. If the metric is a function of all rows and there are 100
            items or more, the sample has a value per group of items instead of a value per item.
        statistic: how the metric is computed from the items.
    """

    item_ids: tuple[str, ...]
    sample: MetricSample
    statistic: MetricStatistic

    @property
    def num_groups(self) -> int | None:
        """Return the number of groups of items left out in turn, or ``None`` if there is a value per item."""
        count = self.sample.item_values.shape[1]
        return count if count < len(self.item_ids) else None


def rank_rows(rows: Sequence[Sequence[StoredRun]], metric: str, higher_is_better: bool) -> tuple[RankResult, ...]:
    """Rank the rows of one board by a metric, using the per-item files next to the records.

    The result is cached in ``$BENCH_CACHE/statistics``. The key has the SHA-256 of each file as stated in its record,
    and the file's size, times and inode, so that a changed file is read and hashed again.

    Args:
        rows: for each row the runs (seeds) of one backbone. All runs have the same comparability key.
        metric: name of the metric in the records.
        higher_is_better: the metric's direction.

    Returns:
        One entry per row, in the order of ``rows``.

    Raises:
        RecordError: a record states another direction of the metric.
    """
    for folder, record in (run for runs in rows for run in runs):
        if _get_metric(record, metric).higher_is_better != higher_is_better:
            raise RecordError(f"{folder} states another direction of {metric} than its board, so it cannot be ranked")
    key = _compute_cache_key(rows, metric)
    found = _load_cached_ranks(key, len(rows))
    if found is None:
        found = _compute_ranks(rows, metric, higher_is_better)
        statistics_cache.store_statistics(key, [_rank_to_dict(standing) for standing in found])
    return found


def build_row_sample(runs: Sequence[StoredRun], metric: str) -> RowSample:
    """Build the sample of a row from its runs, with the items sorted by name.

    Raises:
        RecordError: a per-item file cannot be used, or the seeds were scored on different items.
    """
    outcomes = [read_item_outcomes(folder, record, metric) for folder, record in runs]
    if len(outcomes[0].item_ids) < 2:
        raise RecordError(f"{runs[0][0]} was tested on a single item, from which no uncertainty can be computed")
    # sorting by length first puts the numbers 2 and 10 in numeric order
    ids = tuple(sorted(outcomes[0].item_ids, key=lambda name: (len(name), name)))
    return RowSample(ids, build_sample(outcomes, ids), outcomes[0].statistic)


def compute_row_interval(row_sample: RowSample, runs: Sequence[StoredRun], metric: str) -> ConfidenceInterval:
    """Return the confidence interval of a row for display, clipped to 0 to 100 if the unit is percent."""
    sample = row_sample.sample
    found = compute_interval(sample)
    low, high = _clip_to_unit(found.low, found.high, runs, metric)
    if len(runs) > 1:
        method, over = f"seeds and items, {len(runs)} seeds", "seeds x items"
    elif sample.num_seeds > 1:  # one run with several seeds: the draws of a low-shot protocol
        method, over = f"draws and items, {sample.num_seeds} draws", "draws x items"
    else:
        groups = f"{row_sample.num_groups} groups of items" if row_sample.num_groups else "items"
        method, over = "wilson" if is_proportion(sample) else f"Student's t, {groups} left out in turn", "items only"
    return ConfidenceInterval(low=low, high=high, level=CONFIDENCE_LEVEL, method=method, resampling_unit=over)


def _compute_ranks(rows: Sequence[Sequence[StoredRun]], metric: str, higher_is_better: bool) -> tuple[RankResult, ...]:
    """Rank the rows without the cache. Rows that cannot be ranked get a note with the reason."""
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
    # a finished model has no seeds that a claim would have to cover: the items alone decide
    are_finished = all(record.is_evaluation for runs in rows for _, record in runs)
    for place in [place for place, row in found.items() if row.sample.num_seeds == 1 and not are_finished]:
        alone = compute_row_interval(found.pop(place), rows[place], metric)
        standings[place] = RankResult(alone, None, (), ONE_SEED_NOTE)
    # the remaining rows have the same items and can be paired; ``ranked`` are their indices in ``rows``
    ranked = sorted(found)
    samples = [found[place].sample for place in ranked]
    means = np.array([sample.mean for sample in samples])
    # the tests over seeds and items would say nothing about rows of one seed each
    compute_pairs = compute_item_p_values if are_finished else compute_pairwise_p_values
    groups = group_tied_rows(means, compute_pairs(samples), higher_is_better) if ranked else []
    rank = 1
    notes: dict[int, list[str]] = {place: [] for place in ranked}
    for group in groups:
        members = sorted(ranked[row] for row in group.rows)
        for place in members:
            tied = tuple(other for other in members if other != place)
            own = compute_row_interval(found[place], rows[place], metric)
            standings[place] = RankResult(own, rank, tied, "; ".join(notes[place]))
        for row in group.unresolved:
            notes[ranked[row]].append(f"the difference from the best row of rank {rank} is not significant either")
        rank += len(members)  # the next rank counts every row above it: 1, 1, 3
    return tuple(standings[place] for place in range(len(rows)))


def _find_outliers(samples: Mapping[int, RowSample]) -> dict[int, str]:
    """Return the rows that cannot be paired with the majority of the board, each with the reason."""
    outliers = {}
    if samples:
        # most of the rows that can be ranked decide which items are the board's, and most of those rows which statistic
        several = {place: row for place, row in samples.items() if row.sample.num_seeds > 1} or samples
        usual_items = _find_most_common(row.item_ids for row in several.values())
        same = {place: row for place, row in several.items() if row.item_ids == usual_items}
        # values per item and values per group of items cannot be paired, even if the items are the same
        usual_statistic = _find_most_common(row.statistic for row in same.values())
        for place, row in samples.items():
            if row.item_ids != usual_items:
                outliers[place] = "it was scored on different items than the rest of the board"
            elif row.statistic != usual_statistic:
                outliers[place] = "its metric is computed from the items differently than on the rest of the board"
    return outliers


def _find_most_common(values: Iterable[_Value]) -> _Value | None:
    """Return the most common value, or ``None`` if there are several: the order of the rows must not decide."""
    first = Counter(values).most_common(2)
    return first[0][0] if len({count for _, count in first}) == len(first) > 0 else None


def _get_metric(record: Record, metric: str) -> MetricValue:
    if record.result is None or metric not in record.result.metrics:
        raise RecordError(f"run {record.run_id} has no metric {metric}; only complete runs of one task can be ranked")
    return record.result.metrics[metric]


def _clip_to_unit(low: float, high: float, runs: Sequence[StoredRun], metric: str) -> tuple[float, float]:
    """Return the ends of an interval, clipped to 0 to 100 if the metric's unit is percent."""
    in_percent = _get_metric(runs[0][1], metric).unit == "%"
    return (max(low, 0.0), min(high, 100.0)) if in_percent else (low, high)


def _interval_from_records(runs: Sequence[StoredRun], metric: str) -> ConfidenceInterval | None:
    """Return the interval that follows from the records alone, without per-item files.

    There is none over seeds that all have the same value: without items, nothing is known about the size of chance.
    """
    if len(runs) == 1:
        return _get_metric(runs[0][1], metric).interval
    values = [_get_metric(record, metric).value for _, record in runs]
    if is_same_up_to_rounding(min(values), max(values)):
        return None
    found = student_t_interval(values, resampling_unit="seeds only", level=CONFIDENCE_LEVEL)
    low, high = _clip_to_unit(found.low, found.high, runs, metric)
    return found.model_copy(update={"low": low, "high": high})


def _compute_cache_key(rows: Sequence[Sequence[StoredRun]], metric: str) -> str:
    """Return the digest of everything that the ranks depend on: records, state of the files, and foreign functions."""
    made_of: list[list[Any]] = []
    functions = set()
    for folder, record in (run for runs in rows for run in runs):
        stated = _get_metric(record, metric)
        # the folder is part of the key, because the notes of rows that cannot be ranked name it
        made_of.append(
            [record.run_id, record.expected, stated.value, stated.unit, stated.higher_is_better, str(folder)]
        )
        # displayed if the files cannot be used; without a statistic, the schema decides how to compute the metric
        made_of[-1] += [stated.interval.model_dump() if stated.interval else None, record.schema_version]
        if stated.statistic is not None:
            made_of[-1].append(stated.statistic.model_dump())
            functions |= {stated.statistic.function} if stated.statistic.kind == "function" else set()
        with contextlib.suppress(RecordError):  # reported when the files are read
            made_of[-1] += [
                [sha256, _read_file_state(path)] for path, sha256 in list_item_files(folder, record).items()
            ]
    content = {"version": RANKING_VERSION, "metric": metric, "rows": [len(runs) for runs in rows], "runs": made_of}
    if functions:  # a function that is missing, or has another version, leads to other ranks
        content["functions"] = [describe_statistic_function(str(name)) for name in sorted(map(str, functions))]
    return compute_digest(content)


def _read_file_state(path: Path) -> list[int] | None:
    # Size and times instead of a hash: hashing 10,000 files for every table would take longer than ranking them. Tools
    # can restore the time of modification (st_mtime), but not the time of the last change (st_ctime).
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _load_cached_ranks(key: str, rows: int) -> tuple[RankResult, ...] | None:
    """Return the cached ranks, or ``None`` if there are none or they are damaged."""
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
