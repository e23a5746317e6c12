"""Read the per-item outcomes of a run that a metric needs, and build the sample of a backbone from them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.array_types import FloatArray, IntArray
from foundation.errors import RecordError
from foundation.storage.fault_isolation import convert_faults
from results.records.record import MetricValue, Record
from results.records.strict_model import MAX_MAGNITUDE
from results.statistics.average_precision.match_tables import MatchTable
from results.statistics.average_precision.sample import load_or_compute_without_groups, sample_from_precisions
from results.statistics.average_precision.scores import compute_detection_score
from results.statistics.estimates import (
    MetricSample,
    are_right_or_wrong,
    sample_from_areas,
    sample_from_classes,
    sample_from_values,
)
from results.statistics.group_jackknife import assign_groups, load_or_evaluate_without_groups, sample_from_groups
from results.statistics.item_files import (
    DEFAULT_AREAS_ENTRY,
    ItemTable,
    read_areas,
    read_item_table,
    read_matches,
)
from results.statistics.legacy_statistics import LAST_LEGACY_VERSION, infer_legacy_statistic
from results.statistics.metric_statistics import MetricStatistic, parse_comparison
from results.statistics.rounding import is_same_up_to_rounding
from results.statistics.segmentation_scores import AreaArray, compute_area_metric
from results.statistics.statistic_functions import evaluate_statistic

ITEM_ID_COLUMNS = ("name", "sequence", "item")
"""Names of the column that identifies an item; the first one that a table has is used."""


class NoItemValueError(RecordError):
    """A metric that cannot be computed from items, so that nothing can be resampled."""


class FunctionRows(NamedTuple):
    """The rows of a run in the form that a metric's function takes.

    Attributes:
        columns: columns by name, each by draw and item (D, n).
        estimates: the metric of each draw, (D,).
        table_sha256: SHA-256 of the table from which the columns were read.
    """

    columns: Mapping[str, NDArray[Any]]
    estimates: FloatArray
    table_sha256: str


class ItemMatches(NamedTuple):
    """The matches of a run's detections for one kind, box or mask.

    Attributes:
        table: the matches of all images.
        score: the number that is computed from them, a name in ``SCORE_DEFINITIONS``.
        estimate: its value, in percent.
        sha256s: what a cached value depends on: the hashes of the files, and the kind.
    """

    table: MatchTable
    score: str
    estimate: float
    sha256s: tuple[str, ...]


class ItemOutcomes(NamedTuple):
    """The per-item outcomes of a run that one metric needs. Which fields are set depends on the kind of statistic.

    Attributes:
        item_ids: names of the items, (n,).
        statistic: how the metric is computed from the other fields.
        values: for a mean: value of each item, by draw (D, n). Only low-shot protocols have more than one draw.
        labels: for a mean over classes: class of each item, (n,).
        areas: for a ratio of areas: pixel counts by image, kind and class, (n, 3, classes).
        rows: for a function: its columns.
        matches: for an average precision: the matches of all images.
        in_percent: whether the metric's unit is percent.
    """

    item_ids: tuple[str, ...]
    statistic: MetricStatistic
    values: FloatArray | None = None
    labels: IntArray | None = None
    areas: AreaArray | None = None
    rows: FunctionRows | None = None
    matches: ItemMatches | None = None
    in_percent: bool = True


def read_item_outcomes(folder: Path, record: Record, metric: str, table: ItemTable | None = None) -> ItemOutcomes:
    """Read the per-item outcomes of a run for one metric, and check that they give the recorded value.

    Args:
        folder: folder of the run.
        record: record of the run; it must be complete.
        metric: name of the metric.
        table: the run's per-item table, if it was read before; by default it is read.

    Raises:
        NoItemValueError: the metric cannot be computed from items.
        MissingFunctionError: the metric is computed by a function that is not installed.
        RecordError: a file is missing or has another SHA-256, or the items do not give the recorded value.
    """
    assert record.result is not None
    stated = record.result.metrics[metric]
    with convert_faults(f"cannot compute {metric} from the items in {folder}"):
        table = table or read_item_table(folder, record)
        outcomes = _parse_outcomes(folder, record, metric, table)._replace(in_percent=stated.unit == "%")
        found = recompute_metric(outcomes)
    if not is_same_up_to_rounding(stated.value, found):
        raise RecordError(
            f"{folder}: the record says {metric} {stated.value:g}, its items give {found:g}; the record was changed, "
            "or the metric has no value per item"
        )
    return outcomes


def recompute_metric(outcomes: ItemOutcomes) -> float:
    """Return the metric as computed from the items: the mean over the draws."""
    if outcomes.rows is not None:
        return float(outcomes.rows.estimates.mean())
    if outcomes.matches is not None:
        return outcomes.matches.estimate
    # a single item has a value, and no spread that a sample could hold
    if len(outcomes.item_ids) == 1 and outcomes.values is not None:
        return float(outcomes.values.mean())
    if len(outcomes.item_ids) == 1 and outcomes.areas is not None and outcomes.statistic.function is not None:
        return compute_area_metric(outcomes.areas, outcomes.statistic.function)
    return build_sample([outcomes]).mean


def build_sample(run_outcomes: Sequence[ItemOutcomes], item_order: tuple[str, ...] | None = None) -> MetricSample:
    """Build the sample of one backbone from its runs, one per seed, all on the same items.

    If there is a single run with several draws, each draw counts as a seed. If there are several runs, each run is
    averaged over its draws.

    Args:
        run_outcomes: outcomes of one or more runs for the same metric.
        item_order: names of the items in the order that the sample shall have; by default the order of the first run.

    Raises:
        RecordError: the runs were scored on different items, or they compute the metric from items differently.
    """
    first = run_outcomes[0]
    if any(run.statistic != first.statistic for run in run_outcomes):
        raise RecordError("the metric is computed from the items differently in some of the runs")
    # each run may list its items in another order; bring all of them into one order before pairing them
    orders = [_align_items(run.item_ids, item_order or first.item_ids) for run in run_outcomes]
    ordered = list(zip(run_outcomes, orders, strict=True))
    areas = [run.areas[order] for run, order in ordered if run.areas is not None]
    if areas:
        assert first.statistic.function is not None
        return sample_from_areas(areas, first.statistic.function)
    if first.matches is not None:
        return _build_precision_sample(run_outcomes, orders)
    if first.rows is not None:
        return _build_function_sample(run_outcomes, orders)._replace(in_percent=first.in_percent)
    values = _average_draws([run.values[:, order] for run, order in ordered if run.values is not None])
    labels = first.labels  # the class of an item is the same in all runs
    sample = sample_from_values(values) if labels is None else sample_from_classes(values, labels[orders[0]])
    # looked up before the draws are averaged: the mean over five draws is neither right nor wrong
    single = first.in_percent and all(are_right_or_wrong(run.values) for run in run_outcomes if run.values is not None)
    return sample._replace(in_percent=first.in_percent, is_right_or_wrong=single)


def _build_function_sample(
    run_outcomes: Sequence[ItemOutcomes], orders: Sequence[NDArray[np.intp] | slice]
) -> MetricSample:
    """Build the sample of a metric that is a function, by leaving groups of items out of each run."""
    estimates, without = [], []
    for run, order in zip(run_outcomes, orders, strict=True):
        assert run.rows is not None
        found = load_or_evaluate_without_groups(run.statistic, run.rows.columns, run.item_ids, run.rows.table_sha256)
        # Groups of one item are in the order of the run's items and have to be reordered. Larger groups are assigned by
        # the items' names, so they are the same in any order.
        without.append(found[:, order] if found.shape[1] == len(run.item_ids) else found)
        estimates.append(run.rows.estimates[:, None])
    sizes = np.bincount(assign_groups(run_outcomes[0].item_ids))
    return sample_from_groups(_average_draws(estimates)[:, 0], _average_draws(without), sizes)


def _build_precision_sample(
    run_outcomes: Sequence[ItemOutcomes], orders: Sequence[NDArray[np.intp] | slice]
) -> MetricSample:
    """Build the sample of an average precision, by leaving groups of images out of each run."""
    estimates, without = [], []
    for run, order in zip(run_outcomes, orders, strict=True):
        assert run.matches is not None
        table, score, estimate, sha256s = run.matches
        found = load_or_compute_without_groups(table, score, run.item_ids, sha256s)
        # as for functions: groups of one item are in the order of the run's items
        without.append(found[order] if len(found) == len(run.item_ids) else found)
        estimates.append(estimate)
    return sample_from_precisions(np.array(estimates), np.stack(without), run_outcomes[0].item_ids)


def _average_draws(by_run: Sequence[FloatArray]) -> FloatArray:
    """Return the draws of a single run, or the mean over the draws for each of several runs, (S, n)."""
    return by_run[0] if len(by_run) == 1 else np.stack([draws.mean(0) for draws in by_run])


def _parse_outcomes(folder: Path, record: Record, metric: str, table: ItemTable) -> ItemOutcomes:
    """Read from the per-item files what the metric's statistic needs."""
    assert record.result is not None
    ids = next((table.columns[name] for name in ITEM_ID_COLUMNS if name in table.columns), None)
    # without a column of a known name, the first column identifies the item
    ids = ids or next(iter(table.columns.values()))
    if len(ids) != record.expected:
        raise RecordError(f"{table.path} has {len(ids)} rows, but the record says {record.expected}")
    statistic = _find_statistic(record, metric, table)
    if statistic.kind == "area_ratio":
        areas = read_areas(folder, record, statistic.columns[0], len(ids))
        return ItemOutcomes(_require_unique_ids(ids, table.path), statistic, areas=areas)
    if statistic.kind == "average_precision":
        matches = _read_item_matches(folder, record, statistic, table)
        return ItemOutcomes(_require_unique_ids(ids, table.path), statistic, matches=matches)
    # the rows of a low-shot table are draw 0 with all items, then draw 1 with all items, and so on
    if "draw" in table.columns:
        num_draws, names = _check_draws(_parse_numbers(table, "draw"), ids, table.path)
    else:
        num_draws, names = 1, _require_unique_ids(ids, table.path)
    if statistic.kind == "function":
        rows = _parse_function_rows(table, statistic, (num_draws, len(names)))
        return ItemOutcomes(names, statistic, rows=rows)
    values = _parse_values(table, statistic.columns[0]).reshape(num_draws, len(names))
    labels = _parse_classes(table, statistic.columns[1])[: len(names)] if statistic.kind == "class_mean" else None
    return ItemOutcomes(names, statistic, values, labels)


def _read_item_matches(folder: Path, record: Record, statistic: MetricStatistic, table: ItemTable) -> ItemMatches:
    """Read the matches that an average precision is computed from."""
    assert statistic.function is not None
    tables, sha256 = read_matches(folder, record, statistic.columns[0], table.num_rows)
    # "box_AP_small": the kind of match, then the number
    kind, _, score = statistic.function.partition("_")
    estimate = compute_detection_score(tables[kind], score) if kind in tables else None
    if estimate is None:
        raise RecordError(f"{folder}: its file of matches has no object that {statistic.function} is measured on")
    return ItemMatches(tables[kind], score, estimate, (table.sha256, sha256, kind))


def _find_statistic(record: Record, metric: str, table: ItemTable) -> MetricStatistic:
    """Return how the metric is computed from items: as the record states it, or by the rules for old records."""
    assert record.result is not None
    stated: MetricValue = record.result.metrics[metric]
    found = stated.statistic.to_statistic() if stated.statistic else None
    if found is None and record.schema_version <= LAST_LEGACY_VERSION:
        has_areas = isinstance(record.result.details.get(DEFAULT_AREAS_ENTRY), dict)
        found = infer_legacy_statistic(metric, table.columns, has_areas)
    if found is None:
        raise NoItemValueError(f"{metric} has no value per item in {table.path}, so its uncertainty is unknown")
    return found


def _parse_function_rows(table: ItemTable, statistic: MetricStatistic, shape: tuple[int, int]) -> FunctionRows:
    """Read the columns of a function and evaluate the function for each draw; ``shape`` is (draws, items)."""
    assert statistic.function is not None
    columns: dict[str, NDArray[Any]] = {name: _parse_values(table, name) for name in statistic.columns}
    columns |= {name: np.array(_get_column(table, name)) for name in statistic.text_columns}
    by_draw = {name: cells.reshape(shape) for name, cells in columns.items()}
    # the function gets copies, so that one that sorts in place cannot change the columns used for the jackknife
    each = [
        evaluate_statistic(statistic.function, {name: cells[draw].copy() for name, cells in by_draw.items()})
        for draw in range(shape[0])
    ]
    return FunctionRows(by_draw, np.array(each), table.sha256)


def _check_draws(draws: FloatArray, ids: tuple[str, ...], path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the number of draws and the names of the items; every draw must have the same items in the same order."""
    # np.repeat(...) is the only valid column "draw": ascending, and each draw as long as the others
    kinds, counts = np.unique(draws, return_counts=True)
    items = int(counts[0])
    names = _require_unique_ids(ids[:items], path)
    if (counts != items).any() or (np.repeat(kinds, items) != draws).any() or ids != names * len(kinds):
        raise RecordError(f"{path}: the draws do not have the same items in the same order")
    return len(kinds), names


def _require_unique_ids(ids: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if len(set(ids)) != len(ids) or not ids:
        raise RecordError(f"{path} has {len(ids)} items with {len(set(ids))} names; it needs each item once")
    return ids


def _parse_values(table: ItemTable, column: str) -> FloatArray:
    """Return the numbers of a column, or 100 and 0 for a comparison that holds or does not, (rows,)."""
    comparison = parse_comparison(column)
    if comparison is None:
        return _parse_numbers(table, column)
    left = _parse_numbers(table, comparison.left)
    right = comparison.right if isinstance(comparison.right, float) else _parse_numbers(table, comparison.right)
    return np.where(left == right if comparison.operator == "==" else left < right, 100.0, 0.0)


def _parse_classes(table: ItemTable, column: str) -> IntArray:
    """Return the class of each row as an index, (rows,); the classes of the table are numbers or names."""
    cells: NDArray[Any] = np.array(_get_column(table, column))
    with contextlib.suppress(ValueError):  # class names stay text
        cells = cells.astype(np.float64)
    return np.asarray(np.unique(cells, return_inverse=True)[1], np.int64)


def _parse_numbers(table: ItemTable, column: str) -> FloatArray:
    try:
        values = _convert_cells(_get_column(table, column))
    except ValueError as error:
        raise RecordError(f"{table.path}: column {column} has a cell that is not a number ({error})") from error
    if not (np.abs(values) <= MAX_MAGNITUDE).all():  # false for NaN
        raise RecordError(f"{table.path}: column {column} has a number that is not finite, or above {MAX_MAGNITUDE:g}")
    return values


@lru_cache(maxsize=8)  # by content: the metrics of a run need the same columns one after the other
def _convert_cells(cells: tuple[str, ...]) -> FloatArray:
    values = np.fromiter(map(float, cells), np.float64, len(cells))
    values.flags.writeable = False  # several metrics share it
    return values


def _get_column(table: ItemTable, column: str) -> tuple[str, ...]:
    if column not in table.columns:
        raise RecordError(
            f"{table.path} has no column {column!r}, which a metric needs; it has {', '.join(table.columns)}"
        )
    return table.columns[column]


def _align_items(ids: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.intp] | slice:
    """Return the indices in ``ids`` that bring the items into the wanted order."""
    if ids == wanted:
        return slice(None)  # the usual case; it avoids a copy of the arrays
    if set(ids) != set(wanted):
        raise RecordError("the runs were not scored on the same items, so they cannot be paired")
    places = {name: place for place, name in enumerate(ids)}
    return np.array([places[name] for name in wanted])
