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
from results.records.identity import digest
from results.records.record import Interval, Metric, Record
from results.statistics import statistics_cache
from results.statistics.estimates import LEVEL, Sample, interval, is_share
from results.statistics.intervals import student_t
from results.statistics.per_item_outcomes import item_files, read_outcomes, sample_of
from results.statistics.significance_tests import paired_p, tie_groups

Run = tuple[Path, Record]
"""A run's folder and its complete record."""

VERSION = 1
"""Raised whenever a standing changes for the same files; part of the key of what is kept on disk."""


class Standing(NamedTuple):
    """Where a row stands on its board.

    Attributes:
        interval: of the row's mean over its seeds; ``over`` says what it covers ("items only" for one seed). Where
            the per-item files cannot be used: the record's own for one seed, over "seeds only" for several.
        rank: from 1; rows whose difference is not resolved share one. ``None``: not ranked, see ``note``.
        tied_with: the other rows that share the rank, by their place in what was given.
        note: why the row has no rank, or what else its reader should know; empty otherwise.
    """

    interval: Interval | None
    rank: int | None
    tied_with: tuple[int, ...]
    note: str


def stand(rows: Sequence[Sequence[Run]], metric: str, higher_is_better: bool) -> tuple[Standing, ...]:
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
        if _metric(record, metric).higher_is_better != higher_is_better:
            raise RecordError(f"{folder} gives {metric} another direction than its board; such runs cannot be ranked")
    key = _key(rows, metric)
    found = _kept(key, len(rows))
    if found is None:
        found = _stand(rows, metric, higher_is_better)
        statistics_cache.store(key, [_plain(standing) for standing in found])
    return found


def row_sample(runs: Sequence[Run], metric: str) -> tuple[tuple[str, ...], Sample]:
    """A row's items in the order of their names, and its sample in that order.

    Raises:
        RecordError: a per-item file cannot be used, or the seeds were scored on different items.
    """
    outcomes = [read_outcomes(folder, record, metric) for folder, record in runs]
    ids = tuple(sorted(outcomes[0].ids, key=lambda name: (len(name), name)))
    return ids, sample_of(outcomes, metric, ids)


def interval_of(sample: Sample, runs: Sequence[Run], metric: str) -> Interval:
    """A sample's interval as it stands on a board: within 0 to 100 where the unit is percent."""
    found = interval(sample)
    low, high = found.low, found.high
    if _metric(runs[0][1], metric).unit == "%":
        low, high = max(low, 0.0), min(high, 100.0)
    if len(runs) > 1:
        method, over = f"seeds and items, {len(runs)} seeds", "seeds x items"
    elif sample.seeds > 1:
        method, over = f"draws and items, {sample.seeds} draws", "draws x items"
    else:
        method, over = "wilson" if is_share(sample) else "Student's t, items left out in turn", "items only"
    return Interval(low=low, high=high, level=LEVEL, method=method, over=over)


def _stand(rows: Sequence[Sequence[Run]], metric: str, higher_is_better: bool) -> tuple[Standing, ...]:
    samples: dict[int, Sample] = {}
    ids: dict[int, tuple[str, ...]] = {}
    standings: dict[int, Standing] = {}
    for place, runs in enumerate(rows):
        try:
            ids[place], samples[place] = row_sample(runs, metric)
        except RecordError as error:
            standings[place] = Standing(_own_interval(runs, metric), None, (), str(error))
    usual = Counter(ids.values()).most_common(1)[0][0] if ids else ()
    for place in [place for place in samples if ids[place] != usual]:
        alone = interval_of(samples.pop(place), rows[place], metric)
        standings[place] = Standing(alone, None, (), "it was scored on other items than the rest of the board")
    ranked = sorted(samples)
    rank = 1
    means = np.array([samples[place].mean for place in ranked])
    groups = tie_groups(means, paired_p([samples[place] for place in ranked]), higher_is_better) if ranked else []
    several = {place for place in ranked if samples[place].seeds > 1}
    once = "one seed: its rank is of this training alone, other rows' is of their mean over seeds"
    notes = {place: [once] if several and place not in several else [] for place in ranked}
    for group in groups:
        members = [ranked[row] for row in group.rows]
        for place in members:
            tied = tuple(other for other in members if other != place)
            own = interval_of(samples[place], rows[place], metric)
            standings[place] = Standing(own, rank, tied, "; ".join(notes[place]))
        for row in group.loose:
            notes[ranked[row]].append(f"not resolved from the best of rank {rank} either")
        rank += len(members)
    return tuple(standings[place] for place in range(len(rows)))


def _metric(record: Record, metric: str) -> Metric:
    if record.result is None or metric not in record.result.metrics:
        raise RecordError(f"run {record.run_id} has no metric {metric}; only complete runs of one task can be ranked")
    return record.result.metrics[metric]


def _own_interval(runs: Sequence[Run], metric: str) -> Interval | None:
    """What the records alone say."""
    if len(runs) == 1:
        return _metric(runs[0][1], metric).interval
    return student_t([_metric(record, metric).value for _, record in runs], over="seeds only", level=LEVEL)


def _key(rows: Sequence[Sequence[Run]], metric: str) -> str:
    """Of everything that the standings follow from: what the records say, and the state of the files."""
    made_of = []
    for folder, record in (run for runs in rows for run in runs):
        stated = _metric(record, metric)
        made_of.append(
            [record.run_id, record.expected, stated.value, stated.unit, stated.higher_is_better, str(folder)]
        )
        with contextlib.suppress(RecordError):  # it is told when the files are read
            made_of[-1] += [[sha256, _state(path)] for path, sha256 in item_files(folder, record).items()]
    return digest({"version": VERSION, "metric": metric, "rows": [len(runs) for runs in rows], "runs": made_of})


def _state(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _kept(key: str, rows: int) -> tuple[Standing, ...] | None:
    """Standings that were kept; ``None`` where there are none or they are not whole."""
    try:
        found = [_standing(entry) for entry in statistics_cache.load(key)]
    except (ValueError, TypeError, KeyError, ValidationError):
        return None
    return tuple(found) if len(found) == rows else None


def _plain(standing: Standing) -> dict[str, Any]:
    interval = standing.interval
    return standing._asdict() | {"interval": interval.model_dump() if interval else None}


def _standing(entry: dict[str, Any]) -> Standing:
    found = Interval.model_validate(entry["interval"]) if entry["interval"] is not None else None
    rank = None if entry["rank"] is None else int(entry["rank"])
    return Standing(found, rank, tuple(map(int, entry["tied_with"])), str(entry["note"]))
