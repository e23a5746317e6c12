from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from foundation.errors import RecordError
from results.records.record import ItemsFile, Record
from results.records.store import RECORD_FILE
from results.statistics.per_item_outcomes import NoItemValueError, build_sample, read_item_outcomes, recompute_metric
from results.statistics.ranking import StoredRun, build_row_sample
from tests.results.make import write_digits_run

RIGHT = [place % 3 > 0 for place in range(40)]


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return write_digits_run(tmp_path / "run", "vit_nano", RIGHT)


def changed(run: StoredRun, table: str, metrics: dict[str, float] | None = None, **areas: Any) -> StoredRun:
    """The run with another per-item table, whose hash its record states."""
    folder, record = run
    (folder / "items.csv").write_text(table)
    content = record.model_dump()
    result, rows = content["result"], table.count("\n") - 1
    result["items"] |= {"sha256": hashlib.sha256(table.encode()).hexdigest(), "rows": rows}
    for name, value in (metrics or {}).items():
        result["metrics"][name] = result["metrics"]["top1"] | {"value": value}
    result["details"] |= areas
    return folder, Record.model_validate(content | {"done": rows, "expected": rows})


def test_metrics_follow_from_the_items(run: StoredRun) -> None:
    folder, record = run
    assert record.result is not None
    for name in ("top1", "mean_per_class"):
        outcomes = read_item_outcomes(folder, record, name)
        assert recompute_metric(outcomes) == pytest.approx(record.result.metrics[name].value, abs=1e-9)
        assert outcomes.item_ids[:2] == ("0", "1")


def test_a_file_that_was_changed_is_refused(run: StoredRun) -> None:
    folder, record = run
    path = folder / "items.csv"
    path.write_text(path.read_text().replace("0,0,1", "0,0,0", 1))
    with pytest.raises(RecordError, match="another SHA-256"):
        read_item_outcomes(folder, record, "top1")
    path.unlink()
    with pytest.raises(RecordError, match=r"cannot read the per-item file .*items\.csv"):
        read_item_outcomes(folder, record, "top1")
    os.mkfifo(path)
    # to read a pipe would wait for ever
    with pytest.raises(RecordError, match=r"items\.csv \(it is not a regular file"):
        read_item_outcomes(folder, record, "top1")


def test_a_value_that_was_changed_is_refused(run: StoredRun) -> None:
    folder, record = run
    content = record.model_dump()
    content["result"]["metrics"]["top1"]["value"] += 0.01
    with pytest.raises(RecordError, match=r"the record says top1 .* its items give"):
        read_item_outcomes(folder, Record.model_validate(content), "top1")


def test_a_file_outside_the_folder_is_not_opened(run: StoredRun) -> None:
    folder, record = run
    assert record.result is not None
    content = record.model_dump()
    content["result"]["items"]["file"] = "../items.csv"
    with pytest.raises(ValidationError, match="must be the name of a file in the folder"):
        Record.model_validate(content)
    items = ItemsFile.model_construct(**content["result"]["items"])  # a second check, where the file is opened
    outside = record.model_copy(update={"result": record.result.model_copy(update={"items": items})})
    with pytest.raises(RecordError, match="that must be the name of a file in the folder"):
        read_item_outcomes(folder, outside, "top1")


def test_a_column_of_the_metrics_name_is_averaged(run: StoredRun) -> None:
    table = "sequence,AUC\nb,10.0\na,40.0\nc,70.0\n"
    folder, record = changed(run, table, {"AUC": 40.0, "frames": 3.0})
    outcomes = read_item_outcomes(folder, record, "AUC")
    assert outcomes.item_ids == ("b", "a", "c")
    assert build_sample([outcomes], ("a", "b", "c")).item_values.tolist() == [[40.0, 10.0, 70.0]]
    with pytest.raises(NoItemValueError, match="frames has no value per item"):
        read_item_outcomes(folder, record, "frames")


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("sequence,AUC\na,1.0\na,2.0\n", "with 1 names"),
        ("sequence,AUC\na,1.0\nb,\n", "a cell that is not a number"),
        ("sequence,AUC\na,1.0\nb,nan\n", "not finite"),
        ("sequence,AUC\na,1.0\nb\n", "rows have as many cells as its header"),
        ("draw,item,AUC\n0,a,1.0\n0,b,1.0\n1,a,1.0\n1,c,1.0\n", "the draws do not have the same items"),
    ],
)
def test_a_table_that_does_not_hold_is_named(run: StoredRun, table: str, what: str) -> None:
    folder, record = changed(run, table, {"AUC": 1.0})
    with pytest.raises(RecordError, match=what):
        read_item_outcomes(folder, record, "AUC")


def test_draws_are_replicates_of_one_run_and_averaged_over_several(run: StoredRun) -> None:
    table = "draw,item,AUC\n0,a,1.0\n0,b,2.0\n1,a,3.0\n1,b,6.0\n"
    outcomes = read_item_outcomes(*changed(run, table, {"AUC": 3.0}), "AUC")
    assert build_sample([outcomes]).item_values.tolist() == [[1.0, 2.0], [3.0, 6.0]]
    assert build_sample([outcomes, outcomes]).item_values.tolist() == [[2.0, 4.0]] * 2


def test_areas_are_read_by_their_own_hash(run: StoredRun) -> None:
    areas = np.array([[[1, 1], [1, 2], [2, 1]], [[0, 3], [1, 3], [0, 4]]], np.int64)
    np.save(run[0] / "areas.npy", areas)
    sha256 = hashlib.sha256((run[0] / "areas.npy").read_bytes()).hexdigest()
    table = "item,name,mIoU\n0,x,50.0\n1,y,37.5\n"
    stated = {"file": "areas.npy", "sha256": sha256}
    iou = 100 * (1 / 3 + 4 / 6) / 2
    folder, record = changed(run, table, {"mIoU": iou}, areas=stated)
    outcomes = read_item_outcomes(folder, record, "mIoU")
    assert outcomes.item_ids == ("x", "y")
    assert recompute_metric(outcomes) == pytest.approx(iou)
    (folder / "areas.npy").write_bytes(b"another")
    with pytest.raises(RecordError, match=r"areas\.npy is not the file"):
        read_item_outcomes(folder, record, "mIoU")


def test_runs_on_other_items_are_not_paired(run: StoredRun) -> None:
    first, second = (
        read_item_outcomes(*changed(run, f"item,AUC\n{a},1.0\n{b},3.0\n", {"AUC": 2.0}), "AUC") for a, b in ("xy", "xz")
    )
    with pytest.raises(RecordError, match="not scored on the same items"):
        build_sample([first, second])
    assert (run[0] / RECORD_FILE).exists()


def test_a_single_item_gives_its_value_and_no_uncertainty(tmp_path: Path) -> None:
    """A folder with one sequence is what most people try first; its number was said to contradict its items."""
    run = write_digits_run(tmp_path / "run", "vit_nano", [True])
    assert recompute_metric(read_item_outcomes(*run, "top1")) == 100
    with pytest.raises(RecordError, match="tested on a single item, from which no uncertainty"):
        build_row_sample([run], "top1")
