"""``bench choose``: the limits decide, what cannot be compared is named, and what is not significant is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.main import main
from benchmarks.cli.results import choose
from tests.results.make import make_cost, write_digits_run
from tests.results.make_evaluations import write_evaluation

BEST = [number % 20 != 0 for number in range(200)]
NEAR = [number % 20 not in (0, 1) or number == 1 for number in range(200)]
POOR = [number % 2 != 0 for number in range(200)]


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chip of the made-up records."""
    monkeypatch.setattr(choose, "get_processor_name", lambda: "a chip")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Models of several costs on this chip, one on another chip, one timed on a busy machine, one not timed."""
    where = tmp_path / "runs/digits"
    write_evaluation(where / "a", "large", BEST, milliseconds=30.0, parameters=80_000_000)
    write_evaluation(where / "b", "large", NEAR, {"runtime": "openvino"}, milliseconds=9.0, parameters=80_000_000)
    write_evaluation(where / "c", "small", NEAR[1:] + NEAR[:1], milliseconds=6.0, parameters=5_000_000)
    write_evaluation(where / "d", "poor", POOR, milliseconds=2.0, parameters=1_000_000)
    write_evaluation(where / "e", "elsewhere", BEST, milliseconds=1.0, efficiency={"chip": "another chip"})
    busy = {"other_load": 0.9, "processors": 2}
    write_evaluation(where / "f", "busy", BEST, milliseconds=4.0, efficiency=busy)
    write_evaluation(where / "g", "untimed", BEST, milliseconds=None)
    return tmp_path / "runs"


def ask(capsys: pytest.CaptureFixture[str], store: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what the only board answers."""
    capsys.readouterr()
    code = main(["choose", "--task", "digits", "--runs", str(store), "--json", *words])
    (board,) = json.loads(capsys.readouterr().out)
    return code, board


def labels(rows: list[dict[str, Any]]) -> list[str]:
    return [row["label"] for row in rows]


def test_a_latency_divides_the_rows_of_this_chip(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, board = ask(capsys, store, "--under", "10ms")
    assert code == 0 and board["setup"] == "a chip, 1 thread"
    assert [(row["label"], row["rank"], len(row["tied_with"])) for row in board["chosen"]] == [
        ("large (openvino)", 1, 1),
        ("small", 1, 1),
        ("poor", 3, 0),
    ]
    assert all(row["interval"]["low"] < row["value"] < row["interval"]["high"] for row in board["chosen"])
    assert [(row["label"], row["reason"]) for row in board["above"]] == [("large", "30.00 ms > 10ms")]
    assert {row["label"]: row["reason"] for row in board["unknown"]} == {
        "busy": "timed on a busy machine (4.00 ms); measure again when it is quiet: evaluate it again with --fresh",
        "elsewhere": "timed on another chip, 1 thread",
        "untimed": "latency not measured",
    }


def test_a_time_equal_to_the_limit_is_within_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert labels(ask(capsys, store, "--under", "6ms")[1]["chosen"]) == ["small", "poor"]
    code, board = ask(capsys, store, "--under", "1.9ms")
    assert code == 1 and not board["chosen"], "no row answers, so the exit code says it"


def test_size_operations_and_parameters_need_no_chip(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, board = ask(capsys, store, "--under", "21MB")
    # four bytes per weight of PyTorch; no file of the export is here, so nobody knows its size
    assert "small" in labels(board["chosen"]) and labels(board["above"]) == ["large"]
    assert [(row["label"], row["reason"]) for row in board["unknown"]] == [("large (openvino)", "size not measured")]
    assert "elsewhere" in labels(board["chosen"])
    _, board = ask(capsys, store, "--under", "1Mparams")
    assert "poor" in labels(board["chosen"]) and "small" in labels(board["above"])
    _, board = ask(capsys, store, "--under", "0.01GMACs", "10ms")
    assert labels(board["chosen"]) == ["poor"]


def test_the_size_of_an_export_is_that_in_its_record(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stays with the record when that is merged or packed; what lies beside it may be another export."""
    path = store / "digits/b/record.json"
    record = json.loads(path.read_text())
    record["result"]["details"] = {"artifact_bytes": 2_010}
    path.write_text(json.dumps(record))
    _, board = ask(capsys, store, "--under", "1GB")
    assert next(row["size_bytes"] for row in board["chosen"] if row["label"] == "large (openvino)") == 2_010


def test_the_text_says_what_is_not_significant_and_what_is_not_compared(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["choose", "--task", "digits", "--runs", str(store), "--under", "10ms"]) == 0
    text = capsys.readouterr().out
    assert "digits · as_is · full: 3 of 7 rows within 10ms, timed on a chip, 1 thread" in text
    assert "Not told apart on these items, so all of rank 1: large (openvino), small." in text
    assert "not comparable here, so neither better nor worse:\n" in text


def test_trained_rows_say_whose_costs_they_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        cost = make_cost(1_000_000, 5.0)
        write_digits_run(tmp_path / f"digits/{seed}", "deit", BEST, seed, cost=cost, schema_version=7)
    words = ["choose", "--task", "digits", "--runs", str(tmp_path), "--under", "10ms"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "no finished model was evaluated on digits" in error and "--protocol: finetune" in error
    assert main([*words, "--protocol", "finetune"]) == 0
    assert "The costs are those of the backbone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--under", "10"), "--under 10 is no limit; write a number with its unit: 10ms, 50MB"),
        (("--under", "10ms", "2s"), "--under 10ms and 2s both limit the latency"),
        (("--under", "5MB", "--setup", "a chip"), "add a limit of the latency"),
        (("--under", "5ms", "--setup", "moon"), "no latency was measured in a setup 'moon'; there are 'a chip"),
        (("--under", "5ms", "--setup", "chip"), "name one of them with --setup"),
    ],
)
def test_what_is_not_clear_is_asked(
    words: tuple[str, ...], sentence: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["choose", "--task", "digits", "--runs", str(store), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_another_setup_can_be_named(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, board = ask(capsys, store, "--under", "10ms", "--setup", "another")
    assert labels(board["chosen"]) == ["elsewhere"]


def test_without_a_time_of_this_machine_nothing_is_compared(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "get_processor_name", lambda: "my laptop")
    code, board = ask(capsys, store, "--under", "10ms")
    assert code == 1 and not board["chosen"] and len(board["unknown"]) == 7
