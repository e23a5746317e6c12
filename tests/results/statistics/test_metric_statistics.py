"""What a metric says of how it follows from items: as declared, as stored, and as old records leave it unsaid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.task_registry import TASKS
from engine.evaluation.contract import TestOnlyTask
from foundation.errors import RecordError
from results.records.record import StatisticRecord, dump_record, parse_record
from results.statistics.legacy_statistics import infer_legacy_statistic
from results.statistics.metric_statistics import (
    AREA_METRIC_NAMES,
    ColumnComparison,
    MetricStatistic,
    StatisticKind,
    parse_comparison,
)
from results.statistics.per_item_outcomes import NoItemValueError, build_sample, read_item_outcomes
from results.statistics.segmentation_scores import AREA_METRICS
from tests.results.make import write_table_run

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("kind", "columns", "function", "text_columns", "what"),
    [
        ("mean", ("a", "b"), None, (), "kind mean has 1 columns, not 2"),
        ("class_mean", ("a",), None, (), "kind class_mean has 2 columns, not 1"),
        ("mean", ("a",), "f", (), "has no function, so 'f' would not be used"),
        ("area_ratio", ("areas",), "IoU", (), "areas give mIoU, mIoU_all, aAcc, mAcc, not IoU"),
        ("function", ("a",), None, (), "names its function"),
        ("function", (), "f", (), "and at least one column"),
        ("mean", ("a",), None, ("b",), "has no text columns"),
    ],
)
def test_what_does_not_fit_the_kind_is_refused_when_declared_and_when_read(
    kind: StatisticKind, columns: tuple[str, ...], function: str | None, text_columns: tuple[str, ...], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        MetricStatistic(kind, columns, function, text_columns)
    with pytest.raises(ValidationError, match=what):
        StatisticRecord(kind=kind, columns=list(columns), function=function, text_columns=list(text_columns))


def test_a_comparison_is_of_two_columns_or_of_a_column_and_a_number() -> None:
    assert parse_comparison("label == prediction") == ColumnComparison("label", "==", "prediction")
    assert parse_comparison("rank < -2.5e1") == ColumnComparison("rank", "<", -25.0)
    assert parse_comparison("AUC") is parse_comparison("a<b") is parse_comparison("a > b") is None
    assert parse_comparison("a == nan") == ColumnComparison("a", "==", "nan"), "a column, as there is no such number"


def test_the_names_of_area_metrics_are_those_that_areas_give() -> None:
    assert tuple(AREA_METRICS) == AREA_METRIC_NAMES


def test_a_record_keeps_what_was_declared(tmp_path: Path) -> None:
    declared = MetricStatistic("function", ("x", "y"), "theirs", ("text",))
    _, record = write_table_run(tmp_path / "run", "a", {"item": [1, 2]}, {"r": (0.5, declared), "n": (1.0, None)})
    again = parse_record(dump_record(record), "again")
    assert again.result is not None
    stored = again.result.metrics["r"].statistic
    assert stored is not None
    assert stored.to_statistic() == declared
    assert again.result.metrics["n"].statistic is None
    edited = json.loads(dump_record(record))
    edited["result"]["metrics"]["r"]["statistic"]["function"] = None
    with pytest.raises(RecordError, match="a metric of kind function names its function"):
        parse_record(json.dumps(edited), "edited")


# detection and sets that are only tested on came later than schema 4
TRAINED_TASKS = [
    name
    for name in TASKS.list_names()
    if not isinstance(TASKS.get(name), TestOnlyTask) and TASKS.get(name).domain != "detection"
]


@pytest.mark.parametrize("name", TRAINED_TASKS)
def test_a_record_of_schema_3_and_one_of_today_follow_from_items_in_one_way(name: str) -> None:
    """They stand on one board, so the old ones must be read as our tasks now declare it."""
    task = TASKS.get(name)
    columns = {
        "classification": ("item", "label", "prediction", "confidence", "place"),
        "segmentation": ("item", "name", "mIoU", "aAcc", "classes", "pixels"),
        "tracking": ("sequence", "frames", "AUC", "P", "P_norm", "OP50", "OP75", "boxes"),
    }[task.domain]
    for spec in task.metrics:
        assert spec.statistic is not None
        assert infer_legacy_statistic(spec.name, columns, task.domain == "segmentation") == spec.statistic


def test_what_a_record_of_schema_4_does_not_say_is_not_guessed(tmp_path: Path) -> None:
    run = write_table_run(tmp_path / "run", "a", {"item": [1, 2], "AUC": [10.0, 20.0]}, {"AUC": (15.0, None)})
    with pytest.raises(NoItemValueError, match="AUC has no value per item"):
        read_item_outcomes(*run, "AUC")


def test_a_mean_may_have_another_name_than_its_column(tmp_path: Path) -> None:
    mean = MetricStatistic("mean", ("error",))
    run = write_table_run(tmp_path / "run", "a", {"item": [1, 2], "error": [1.0, 4.0]}, {"mae": (2.5, mean)})
    assert build_sample([read_item_outcomes(*run, "mae")]).item_values.tolist() == [[1.0, 4.0]]
    missing = MetricStatistic("mean", ("other",))
    run = write_table_run(tmp_path / "two", "a", {"item": [1, 2], "error": [1.0, 4.0]}, {"mae": (2.5, missing)})
    with pytest.raises(RecordError, match="no column 'other', which a metric needs; it has item, error"):
        read_item_outcomes(*run, "mae")


def test_classes_are_numbers_or_names(tmp_path: Path) -> None:
    right = MetricStatistic("class_mean", ("label == prediction", "kind"))
    items = {"item": range(4), "label": [1, 2, 3, 4], "prediction": [1, 2, 0, 4]}
    samples = []
    for number, kinds in enumerate((["cat", "cat", "dog", "dog"], [2.5, 2.5, 10, 10])):
        run = write_table_run(tmp_path / str(number), "a", {**items, "kind": kinds}, {"acc": (75.0, right)}, unit="%")
        samples.append(build_sample([read_item_outcomes(*run, "acc")]))
    assert samples[0].item_values.tolist() == samples[1].item_values.tolist() == [[100.0, 100.0, 0.0, 100.0]]


def test_zeros_of_another_unit_than_percent_are_no_share_of_right_items(tmp_path: Path) -> None:
    """Wilson's interval is for shares: an error of 0 mm on all items is not 0 % right."""
    from results.statistics.estimates import is_proportion

    mean = MetricStatistic("mean", ("error",))
    for unit, expected in (("mm", False), ("%", True)):
        run = write_table_run(
            tmp_path / unit, "a", {"item": [1, 2, 3], "error": [0.0] * 3}, {"error": (0.0, mean)}, unit=unit
        )
        assert is_proportion(build_sample([read_item_outcomes(*run, "error")])) is expected


def test_areas_may_lie_under_another_name(tmp_path: Path) -> None:
    from foundation.files import sha256_file

    rng = np.random.default_rng(0)
    truth = rng.integers(1, 50, (6, 3))
    hit = rng.binomial(truth, 0.7)
    areas = np.stack([hit, hit + 3, truth], 1).astype(np.int64)
    np.save(tmp_path / "boundary.npy", areas)
    hits, found, real = areas.sum(0)
    expected = 100 * float((hits / (found + real - hits)).mean())
    statistic = MetricStatistic("area_ratio", ("boundary_areas",), "mIoU")
    folder, record = write_table_run(tmp_path / "run", "a", {"item": range(6)}, {"boundary": (expected, statistic)})
    with pytest.raises(RecordError, match="details name no file of areas under 'boundary_areas'"):
        read_item_outcomes(folder, record, "boundary")
    assert record.result is not None
    (tmp_path / "boundary.npy").rename(folder / "boundary.npy")
    entry = {"boundary_areas": {"file": "boundary.npy", "sha256": sha256_file(folder / "boundary.npy")}}
    result = record.result.model_copy(update={"details": entry})
    record = record.model_copy(update={"result": result})
    assert read_item_outcomes(folder, record, "boundary").areas is not None
    (folder / "boundary.npy").write_bytes(b"")
    with pytest.raises(RecordError, match="another SHA-256"):
        read_item_outcomes(folder, record, "boundary")
