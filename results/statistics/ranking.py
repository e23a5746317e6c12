"""Where the rows of one board stand: interval, rank, and the rows each is tied with."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from foundation.errors import RecordError
from results.records.identity import compute_digest
from results.records.record import ConfidenceInterval, MetricValue, Record
from results.statistics import statistics_cache
from results.statistics.estimates import CONFIDENCE_LEVEL, MetricSample, compute_interval, is_proportion
from results.statistics.intervals import student_t_interval
from results.statistics.per_item_outcomes import build_sample, list_item_files, read_item_outcomes
from results.statistics.significance_tests import compute_pairwise_p_values, group_tied_rows

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


def build_row_sample(runs: Sequence[StoredRun], metric: str) -> tuple[tuple[str, ...], MetricSample]:
    """A row's items in the order of their names, and its sample in that order.

    Raises:
        RecordError: a per-item file cannot be used, or the seeds were scored on different items.
    """
    outcomes = [read_item_outcomes(folder, record, metric) for folder, record in runs]
    ids = tuple(sorted(outcomes[0].item_ids, key=lambda name: (len(name), name)))
    return ids, build_sample(outcomes, metric, ids)


def compute_row_interval(sample: MetricSample, runs: Sequence[StoredRun], metric: str) -> ConfidenceInterval:
    """A sample's interval as it stands on a board: within 0 to 100 where the unit is percent."""
    found = compute_interval(sample)
    low, high = found.low, found.high
    if _get_metric(runs[0][1], metric).unit == "%":
        low, high = max(low, 0.0), min(high, 100.0)
    if len(runs) > 1:
        method, over = f"seeds and items, {len(runs)} seeds", "seeds x items"
    elif sample.num_seeds > 1:
        method, over = f"draws and items, {sample.num_seeds} draws", "draws x items"
    else:
        method, over = "wilson" if is_proportion(sample) else "Student's t, items left out in turn", "items only"
    return ConfidenceInterval(low=low, high=high, level=CONFIDENCE_LEVEL, method=method, resampling_unit=over)


def _compute_ranks(rows: Sequence[Sequence[StoredRun]], metric: str, higher_is_better: bool) -> tuple[RankResult, ...]:
    samples: dict[int, MetricSample] = {}
    ids: dict[int, tuple[str, ...]] = {}
    standings: dict[int, RankResult] = {}
    for place, runs in enumerate(rows):
        try:
            ids[place], samples[place] = build_row_sample(runs, metric)
        except RecordError as error:
            standings[place] = RankResult(_interval_from_records(runs, metric), None, (), str(error))
    usual = Counter(ids.values()).most_common(1)[0][0] if ids else ()
    for place in [place for place in samples if ids[place] != usual]:
        alone = compute_row_interval(samples.pop(place), rows[place], metric)
        standings[place] = RankResult(alone, None, (), "it was scored on other items than the rest of the board")
    ranked = sorted(samples)
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
            own = compute_row_interval(samples[place], rows[place], metric)
            standings[place] = RankResult(own, rank, tied, "; ".join(notes[place]))
        for row in group.unresolved:
            notes[ranked[row]].append(f"not resolved from the best of rank {rank} either")
        rank += len(members)
    return tuple(standings[place] for place in range(len(rows)))


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
    """Of everything that the standings follow from: what the records say, and the state of the files."""
    made_of = []
    for folder, record in (run for runs in rows for run in runs):
        stated = _get_metric(record, metric)
        made_of.append(
            [record.run_id, record.expected, stated.value, stated.unit, stated.higher_is_better, str(folder)]
        )
        with contextlib.suppress(RecordError):  # it is told when the files are read
            made_of[-1] += [
                [sha256, _read_file_state(path)] for path, sha256 in list_item_files(folder, record).items()
            ]
    return compute_digest(
        {"version": RANKING_VERSION, "metric": metric, "rows": [len(runs) for runs in rows], "runs": made_of}
    )


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
