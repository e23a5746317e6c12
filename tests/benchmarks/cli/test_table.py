"""``bench table`` as its users meet it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from tests.results.make import write_run


@pytest.fixture
def runs(tmp_path: Path) -> str:
    for number, (name, right) in enumerate((("a", 90), ("b", 10))):
        for seed in (0, 1):  # ranks need two seeds
            outcomes = [i < right + seed for i in range(100)]
            write_run(tmp_path / f"{name}{seed}", name, outcomes, f"{number}{seed}", seed=seed)
    write_run(tmp_path / "other", "a", [True, False], "9", task="lasot", comparability="o", tier="short")
    return str(tmp_path)


@pytest.mark.parametrize("form", ["markdown", "csv", "latex", "json"])
def test_every_format_ranks_the_rows(form: str, runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--runs", runs, "--task", "digits", "--format", form]) == 0
    out = capsys.readouterr().out
    if form == "json":
        assert [(row["backbone"], row["rank"]) for row in json.loads(out)["boards"][0]["rows"]] == [("a", 1), ("b", 2)]
    elif form == "csv":
        rows = [row for row in csv.DictReader(io.StringIO(out)) if row["primary"] == "1"]
        assert [(row["backbone"], row["rank"]) for row in rows] == [("a", "1"), ("b", "2")]
    else:
        assert out.index("90.50 (") < out.index("10.50 (")


def test_json_is_short_for_its_format(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--runs", runs, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["boards"]) == 2


def test_filters_and_sort(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--runs", runs, "--tier", "full", "--backbone", "b", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["task"], row["backbone"]) for row in rows} == {("digits", "b")}
    assert main(["table", "--runs", runs, "--task", "digits", "--pareto", "--sort", "backbone"]) == 0
    assert "| a " in capsys.readouterr().out


def test_an_unknown_task_is_one_sentence(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--runs", runs, "--task", "digit"]) == 2
    assert capsys.readouterr().err == "bench: no run of task 'digit'; did you mean digits?\n"


def test_the_page_is_written_and_named(runs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--runs", runs, "--html", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page' / 'index.html'}\n"
    assert "bench leaderboard" in (tmp_path / "page" / "index.html").read_text()


def test_a_single_file_is_a_page(runs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--runs", runs, "--single-file"]) == 2
    assert "name its folder with --html DIR" in capsys.readouterr().err
    assert main(["table", "--runs", runs, "--html", str(tmp_path / "page"), "--single-file"]) == 0
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["index.html"]


def test_the_demo_ends_by_naming_the_page(
    runs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.demo.DEMO_CELLS", ())
    # what the cells compute plays no part, and `make demo` runs them in full
    monkeypatch.setattr("benchmarks.demo.run_cell", lambda request: run_cell(replace(request, tier="smoke")))
    assert main(["demo", "--out", runs]) == 0
    page = Path(runs) / "index.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"Page: {page}"
    assert "bench leaderboard" in page.read_text()


def test_a_run_records_what_its_backbone_costs(tmp_path: Path) -> None:
    asked = CellRequest("digits", "vit_pico", protocol="knn", out=tmp_path, device="cpu")
    full, smoke = (run_cell(replace(asked, tier=tier)).record.cost for tier in ("full", "smoke"))
    assert full is not None
    assert smoke is not None
    assert full.efficiency is not None
    assert smoke.efficiency is not None
    assert full.efficiency.parameters == 44_928
    assert full.efficiency.macs > full.efficiency.macs_without_attention
    assert full.efficiency.latency is not None
    assert min(full.efficiency.latency.raw_ms) > 0
    assert smoke.efficiency.macs == full.efficiency.macs
    assert smoke.efficiency.latency is None, "a smoke run is not timed"


def test_a_cost_that_cannot_be_measured_does_not_cost_the_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("backbones.cost.measure_cost.measure_efficiency", refuse)
    record = run_cell(CellRequest("digits", "vit_pico", protocol="knn", out=tmp_path, device="cpu")).record
    assert record.status == "complete"
    assert record.cost is not None
    assert record.cost.efficiency is None
    assert "the cost of vit_pico was not measured: RuntimeError: out of memory" in capsys.readouterr().err
