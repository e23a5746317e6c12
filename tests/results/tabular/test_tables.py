"""Boards and per-item outcomes as typed tables."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.main import main
from foundation.errors import RecordError
from results.leaderboard.render.csv import CSV_COLUMNS
from results.tabular.board_table import BOARD_COLUMN_TYPES
from results.tabular.item_table import ITEM_COLUMN_TYPES, convert_column
from results.tabular.parquet_file import write_parquet
from tests.conftest import ROOT
from tests.results.make import write_run, write_table_run

HOSTILE = '=HYPERLINK("x")\x1b[31m,\n\'; DROP TABLE runs'


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    for number, name in enumerate(("good", HOSTILE)):
        for seed in (0, 1):
            outcomes = [item % 10 < 8 - number + seed for item in range(40)]
            write_run(root / f"{number}{seed}", name, outcomes, f"{number}{seed}", seed=seed)
    columns = {"name": ["a.png", "b.png"], "iou": [0.5, -1e-3], "place": ["left", HOSTILE.replace(",\n", " ")]}
    write_table_run(root / "other", "good", columns, {"miou": (50.0, None)}, task="scenes", run_id="other")
    return root


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_parquet(path: Path) -> Any:
    pytest.importorskip("pyarrow", reason="the extra [parquet]")
    from pyarrow import parquet

    return parquet.read_table(path)


def test_items_of_all_tasks_share_one_table(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "items.csv"
    assert main(["items", "--runs", str(runs), "--out", str(out)]) == 0
    rows = read_csv(out)
    assert capsys.readouterr().out == f"{out}: {len(rows)} rows of 5 runs\n"
    assert list(rows[0]) == list(ITEM_COLUMN_TYPES)
    assert len(rows) == 4 * 40 * 4 + 2 * 2  # label, prediction, confidence, place; iou, place
    scenes = [row for row in rows if row["task"] == "scenes"]
    assert [(row["row"], row["item"], row["column"], row["value"], row["text"]) for row in scenes[:3]] == [
        ("0", "a.png", "iou", "0.5", ""),
        ("1", "b.png", "iou", "-0.001", ""),
        ("0", "a.png", "place", "", "left"),
    ]
    first = [row for row in rows if row["run_id"] == "00" and row["row"] == "9"]
    assert [(row["column"], float(row["value"])) for row in first] == [
        *(("label", 0.0), ("prediction", 1.0), ("confidence", 0.5), ("place", 1.0)),
    ]


def test_only_what_is_asked_for(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "items.csv"
    assert main(["items", "--runs", str(runs), "--task", "scenes", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "runs": 1, "rows": 4, "left_out": []}
    assert main(["items", "--runs", str(runs), "--backbone", "good", "--out", str(out)]) == 0
    assert {(row["backbone"], row["task"]) for row in read_csv(out)} == {("good", "digits"), ("good", "scenes")}
    assert main(["items", "01", str(runs / "10"), "--runs", str(runs), "--out", str(out)]) == 0
    assert {row["run_id"] for row in read_csv(out)} == {"01", "10"}
    assert main(["items", str(runs / "10"), "--out", str(out)]) == 0, "a folder needs no store"
    assert main(["items", "01", "--task", "digits", "--runs", str(runs), "--out", str(out)]) == 2
    assert main(["items", "--task", "nothing", "--runs", str(runs), "--out", str(out)]) == 2


def test_a_changed_file_is_left_out_and_named(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "other" / "items.csv").write_text("name,iou\na.png,1\n")
    out = tmp_path / "items.csv"
    assert main(["items", "--runs", str(runs), "--task", "scenes", "--out", str(out)]) == 0
    assert "left out of the table" in (error := capsys.readouterr().err) and "another SHA-256" in error
    assert read_csv(out) == []
    (runs / "other" / "record.json").write_text("{}")
    assert main(["items", "--runs", str(runs), "--task", "digits", "--out", str(out)]) == 0
    assert "it has no schema_version" in capsys.readouterr().err, "a record that could be of this task"


@pytest.mark.parametrize(
    "cell", ["1_000", " 5", "0x10", "007", "5.", ".5", "+1", "٣", "1e999", "9" * 30, "=1", str(2**53 + 1), "NaN"]
)
def test_what_is_not_exactly_a_number_makes_its_column_text(cell: str) -> None:
    """The names of a column do not become numbers one by one."""
    assert convert_column([cell, "7", "1e5", ""]) == ([None] * 4, [cell, "7", "1e5", ""])


def test_a_column_of_numbers_may_lack_some() -> None:
    values, texts = convert_column(["-0.0", "1e-3", "12", "", "nan", "-inf"])
    assert (repr(values), texts) == ("[-0.0, 0.001, 12.0, None, None, None]", [None] * 4 + ["nan", "-inf"])
    assert convert_column([]) == ([], [])


def test_a_run_without_a_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("failed", "twice", "header", "blank", "invalidated", "other"):
        write_run(tmp_path / "runs" / name, name, [True, False], name)
    content = json.loads((tmp_path / "runs/failed/record.json").read_text())
    content |= {"status": "failed", "reason": "disk full", "result": None}
    (tmp_path / "runs/failed/record.json").write_text(json.dumps(content))
    content = json.loads((tmp_path / "runs/invalidated/record.json").read_text())
    content |= {"status": "invalidated", "reason": "wrong labels"}
    (tmp_path / "runs/invalidated/record.json").write_text(json.dumps(content))
    for name, text in (("twice", "a,a\n1,2\n"), ("header", "item,label\n"), ("blank", "\n")):
        (tmp_path / "runs" / name / "items.csv").write_text(text)
        content = json.loads((tmp_path / "runs" / name / "record.json").read_text())
        content["result"]["items"] |= {"sha256": hashlib.sha256(text.encode()).hexdigest(), "rows": 1}
        (tmp_path / "runs" / name / "record.json").write_text(json.dumps(content))
    out = tmp_path / "items.csv"
    names = [str(tmp_path / "runs" / name) for name in ("failed", "twice", "header", "blank", "invalidated", "other")]
    assert main(["items", *names, "--out", str(out)]) == 0
    text = capsys.readouterr()
    assert text.out == f"{out}: 8 rows of 1 run\n"
    faults = text.err.splitlines()
    assert len(faults) == 5 and all("left out of the table: " in fault for fault in faults)
    assert ["failed and has no per-item file" in faults[0], "have the same name" in faults[1]] == [True, True]
    assert "its first line names no columns" in faults[3]
    assert faults[4].endswith("invalidated is invalidated: wrong labels"), "its numbers are on no board"
    assert {row["run_id"] for row in read_csv(out)} == {"other"}


def test_a_run_that_is_named_twice_has_its_rows_once(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With each row twice, the mean over a selection would be another one."""
    out = tmp_path / "items.csv"
    (tmp_path / "link").symlink_to(runs)
    names = ["01", str(runs / "01"), str(tmp_path / "link" / "01")]
    assert main(["items", *names, "--runs", str(runs), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 160 rows of 1 run\n"
    shutil.copytree(runs / "01", runs / "01.2")
    assert main(["items", str(runs / "01"), str(runs / "01.2"), "--out", str(out)]) == 2
    assert "are attempts at the same run, 01; name one of them" in capsys.readouterr().err


def test_several_boards_with_their_own_units_share_one_file(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra [parquet]")
    write_table_run(
        tmp_path / "more" / "a", "good", {"name": ["a"], "fps": [12.5]}, {"fps": (12.5, None)}, task="video", run_id="v"
    )
    assert (
        main(
            ["table", "--runs", str(runs), str(tmp_path / "more"), "--format", "parquet", "--out", str(tmp_path / "o")]
        )
        == 0
    )
    rows = read_parquet(tmp_path / "o").to_pylist()
    assert {row["task"] for row in rows} == {"digits", "scenes", "video"}
    assert all(isinstance(row["value"], float) and isinstance(row["unit"], str) for row in rows)


def test_every_column_of_a_board_has_its_type() -> None:
    assert tuple(BOARD_COLUMN_TYPES) == CSV_COLUMNS
    documented = (ROOT / "docs" / "reference" / "tables.md").read_text()
    for types in (BOARD_COLUMN_TYPES, ITEM_COLUMN_TYPES):
        for column, kind in types.items():
            line = next(line for line in documented.splitlines() if f"`{column}`" in str(line.split("|")[1:2]))
            assert f"| {kind} |" in line, column


def test_a_table_goes_to_a_file(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("markdown", "csv", "latex", "json"):
        assert main(["table", "--runs", str(runs), "--format", form]) == 0
        text = capsys.readouterr().out
        assert main(["table", "--runs", str(runs), "--format", form, "--out", str(tmp_path / "out")]) == 0
        assert ((tmp_path / "out").read_text(), capsys.readouterr().out) == (text, "")
    assert main(["table", "--runs", str(runs), "--format", "parquet"]) == 2
    assert "name the file with --out FILE" in capsys.readouterr().err
    assert main(["table", "--runs", str(runs), "--out", "x", "--html", "y"]) == 2
    assert main(["table", "--runs", str(runs), "--out", str(runs)]) == 2, "a folder"


def test_without_pyarrow_one_sentence_says_what_to_do(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for verb in ("table", "items"):
        command = [verb, "--runs", str(runs), "--format", "parquet", "--out", str(tmp_path / "out")]
        assert main(command) == 2
        assert capsys.readouterr().err == (
            "bench: Parquet files need pyarrow, which is not installed; pip install 'litevit-bench[parquet]', "
            "or choose --format csv\n"
        )
        assert not (tmp_path / "out").exists()


def test_a_parquet_file_of_boards_has_the_cells_of_the_csv(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra [parquet]")
    for form in ("csv", "parquet"):
        assert main(["table", "--runs", str(runs), "--format", form, "--out", str(tmp_path / form)]) == 0
    table = read_parquet(tmp_path / "parquet")
    assert {field.name: str(field.type) for field in table.schema} == dict(BOARD_COLUMN_TYPES)
    rows = table.to_pylist()
    assert HOSTILE in {row["backbone"] for row in rows}, "a name is data, exactly as it is"
    for ours, theirs in zip(rows, read_csv(tmp_path / "csv"), strict=True):
        for column, kind in BOARD_COLUMN_TYPES.items():
            if ours[column] is None:
                assert theirs[column] == "", column
            elif kind == "string":
                assert HOSTILE in ours[column] or ours[column] == theirs[column].removeprefix("'"), column
            else:
                assert float(ours[column]) == float(theirs[column]), column


def test_a_parquet_file_of_items_has_the_cells_of_the_csv(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra [parquet]")
    for form in ("csv", "parquet"):
        assert main(["items", "--runs", str(runs), "--format", form, "--out", str(tmp_path / form)]) == 0
    table = read_parquet(tmp_path / "parquet")
    assert {field.name: str(field.type) for field in table.schema} == dict(ITEM_COLUMN_TYPES)
    rows = table.to_pylist()
    assert any(row["text"] == HOSTILE.replace(",\n", " ") for row in rows)
    for ours, theirs in zip(rows, read_csv(tmp_path / "csv"), strict=True):
        assert (ours["run_id"], ours["column"], str(ours["row"])) == (
            theirs["run_id"],
            theirs["column"],
            theirs["row"],
        )
        assert (ours["value"] is None) == (theirs["value"] == "")
        assert ours["value"] is None or ours["value"] == float(theirs["value"])


def test_a_number_that_no_column_holds_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra [parquet]")
    with pytest.raises(RecordError, match="does not fit its column"):
        write_parquet(tmp_path / "out", {"seed": "int64"}, [{"seed": [2**70]}])
    assert list(tmp_path.iterdir()) == []
