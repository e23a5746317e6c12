"""A run's outcomes by item, read from the files beside its record; only what has the record's hash is used."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import RecordError
from results.records.record import Record
from results.statistics.estimates import (
    FloatArray,
    IntArray,
    MetricSample,
    sample_from_areas,
    sample_from_classes,
    sample_from_values,
)
from results.statistics.segmentation_scores import AREA_METRICS, AreaArray

ITEM_ID_COLUMNS = ("name", "sequence", "item")
"""Columns that name an item; the first that a file has counts."""

ACCURACY_METRICS = ("top1", "top5", "mean_per_class")
"""Metrics of right and wrong images; the last weighs classes alike."""

METRIC_TOLERANCE = 1e-9
"""How far a recomputed metric may be from the record's, as a share of it: rounding in another order of summing."""


class NoItemValueError(RecordError):
    """A metric that is no mean over items and no score of areas: nothing can be resampled."""


class ItemOutcomes(NamedTuple):
    """What a run gave by item, as far as one metric needs it.

    Attributes:
        item_ids: of the items, (n,).
        values: by draw and item, (D, n); D is 1 but for low-shot protocols. ``None`` where the metric is of areas.
        labels: each item's class where classes weigh alike, (n,).
        areas: pixels by image, kind and class, (n, 3, classes).
    """

    item_ids: tuple[str, ...]
    values: FloatArray | None
    labels: IntArray | None = None
    areas: AreaArray | None = None


def read_item_outcomes(folder: Path, record: Record, metric: str) -> ItemOutcomes:
    """A run's outcomes by item for one metric; recomputed from them the metric is the record's.

    Raises:
        NoItemValueError: the metric has no value an item.
        RecordError: a file is missing or has another hash, or the record's value is not what the items give.
    """
    outcomes = _parse_outcomes(folder, record, metric)
    assert record.result is not None
    stated, found = record.result.metrics[metric].value, recompute_metric(outcomes, metric)
    if not abs(stated - found) <= METRIC_TOLERANCE * max(1.0, abs(stated)):
        raise RecordError(
            f"{folder}: the record says {metric} {stated:g}, its items give {found:g}; the record was changed, or the "
            "metric has no value an item"
        )
    return outcomes


def recompute_metric(outcomes: ItemOutcomes, metric: str) -> float:
    """The metric from the items: the mean over the draws."""
    return build_sample([outcomes], metric).mean


def build_sample(
    run_outcomes: Sequence[ItemOutcomes], metric: str, item_order: tuple[str, ...] | None = None
) -> MetricSample:
    """One backbone's sample from its runs, a seed each, all on the same items.

    A single run with several draws counts each draw as a seed; of several runs each is averaged over its draws.

    Args:
        run_outcomes: one or more.
        metric: what they are outcomes of.
        item_order: the items' order; default: the first run's.

    Raises:
        RecordError: the runs were scored on different items.
    """
    orders = [_align_items(run.item_ids, item_order or run_outcomes[0].item_ids) for run in run_outcomes]
    ordered = list(zip(run_outcomes, orders, strict=True))
    areas = [run.areas[order] for run, order in ordered if run.areas is not None]
    if areas:
        return sample_from_areas(areas, metric)
    each = [run.values[:, order] for run, order in ordered if run.values is not None]
    values = each[0] if len(each) == 1 else np.stack([draws.mean(0) for draws in each])
    labels = run_outcomes[0].labels
    return sample_from_values(values) if labels is None else sample_from_classes(values, labels[orders[0]])


def list_item_files(folder: Path, record: Record) -> dict[Path, str]:
    """The per-item files of a complete record with their SHA-256: the table, and the areas where there are some.

    Raises:
        RecordError: the record has none, or names one outside its folder.
    """
    if record.result is None:
        raise RecordError(f"{folder} is {record.status} and has no per-item file")
    files = {record.result.items.file: record.result.items.sha256}
    areas = record.result.details.get("areas")
    if isinstance(areas, dict):
        files[str(areas.get("file"))] = str(areas.get("sha256"))
    for name in files:
        if Path(name).name != name:
            raise RecordError(f"{folder}: the record names the per-item file {name!r}, which is not in its folder")
    return {folder / name: sha256 for name, sha256 in files.items()}


def read_verified_file(path: Path, sha256: str) -> bytes:
    """A file's content, if it has the hash.

    Raises:
        RecordError: missing or another content.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"cannot read the per-item file {path} ({error.strerror}); fetch it from where the run was made"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordError(f"{path} is not the file that its record was made with (another SHA-256); fetch it again")
    return content


def parse_item_table(content: bytes, path: Path) -> dict[str, tuple[str, ...]]:
    """The columns of a per-item table by name.

    Raises:
        RecordError: no table, or rows of another length.
    """
    try:
        head, *rows = csv.reader(io.StringIO(content.decode()))
        return dict(zip(head, zip(*rows, strict=True), strict=True))
    except (ValueError, csv.Error) as error:
        raise RecordError(f"{path} is not a table whose rows all have the cells of its head: {error}") from error


def _parse_outcomes(folder: Path, record: Record, metric: str) -> ItemOutcomes:
    (path, sha256), *others = list_item_files(folder, record).items()
    table = parse_item_table(read_verified_file(path, sha256), path)
    ids = next((table[name] for name in ITEM_ID_COLUMNS if name in table), next(iter(table.values())))
    if len(ids) != record.expected:
        raise RecordError(f"{path} has {len(ids)} rows, the record says {record.expected}")
    if metric in AREA_METRICS and others:
        return ItemOutcomes(_require_unique_ids(ids, path), None, areas=_read_areas(*others[0], len(ids)))
    label = None
    if metric in ACCURACY_METRICS and {"label", "prediction", "place"} <= table.keys():
        label, prediction, place = (_parse_numbers(table, name, path) for name in ("label", "prediction", "place"))
        values = np.where(place < 5 if metric == "top5" else label == prediction, 100.0, 0.0)
    elif metric in table:
        values = _parse_numbers(table, metric, path)
    else:
        raise NoItemValueError(f"{metric} has no value an item in {path}, so nothing can be said of its uncertainty")
    draws = _parse_numbers(table, "draw", path) if "draw" in table else np.zeros(len(ids))
    by_draw, names = _split_by_draw(values, draws, ids, path)
    labels = label[: len(names)].astype(np.int64) if metric == "mean_per_class" and label is not None else None
    return ItemOutcomes(names, by_draw, labels)


def _split_by_draw(
    values: FloatArray, draws: FloatArray, ids: tuple[str, ...], path: Path
) -> tuple[FloatArray, tuple[str, ...]]:
    """Values by draw and item, and the items' names; every draw has the same items in the same order."""
    kinds, counts = np.unique(draws, return_counts=True)
    items = int(counts[0])
    names = _require_unique_ids(ids[:items], path)
    if (counts != items).any() or (np.repeat(kinds, items) != draws).any() or ids != names * len(kinds):
        raise RecordError(f"{path}: the draws do not hold the same items in the same order")
    return values.reshape(len(kinds), items), names


def _require_unique_ids(ids: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if len(set(ids)) != len(ids) or len(ids) < 2:
        raise RecordError(f"{path} has {len(ids)} items of {len(set(ids))} names; two or more are needed, each once")
    return ids


def _parse_numbers(table: Mapping[str, tuple[str, ...]], column: str, path: Path) -> FloatArray:
    try:
        values = np.array(list(map(float, table[column])))
    except ValueError as error:
        raise RecordError(f"{path}: column {column} has a cell that is no number ({error})") from error
    if not np.isfinite(values).all():
        raise RecordError(f"{path}: column {column} has a number that is not finite")
    return values


def _read_areas(path: Path, sha256: str, num_items: int) -> AreaArray:
    try:
        areas: NDArray[np.generic] = np.load(io.BytesIO(read_verified_file(path, sha256)), allow_pickle=False)
    except ValueError as error:
        raise RecordError(f"{path} holds no areas: {error}") from error
    if areas.dtype != np.int64 or areas.ndim != 3 or areas.shape[:2] != (num_items, 3):
        raise RecordError(f"{path} holds {areas.dtype} {areas.shape}, not int64 ({num_items}, 3, classes)")
    return np.asarray(areas, np.int64)


def _align_items(ids: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.intp] | slice:
    """Where the wanted items are among ``ids``."""
    if ids == wanted:
        return slice(None)
    if set(ids) != set(wanted):
        raise RecordError("the runs were not scored on the same items, so they cannot be paired")
    places = {name: place for place, name in enumerate(ids)}
    return np.array([places[name] for name in wanted])
