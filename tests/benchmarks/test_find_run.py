"""A run that is named by its id is the attempt that is on the board."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import find_run as find_run_module
from benchmarks.compare_runs import make_comparisons
from benchmarks.find_run import find_run, find_runs
from foundation.errors import UnknownNameError, UserError
from results.leaderboard.report import build_report
from results.records.store import scan_runs
from tests.results.make import write_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two attempts that say the same start, as of a copied store, and another run."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for name, correct in (("a", 1), ("a.2", 2)):
        write_run(tmp_path / "runs" / "digits" / name, "one", [item < correct for item in range(4)], "ab1")
    write_run(tmp_path / "runs" / "digits" / "b", "two", [True] * 4, "ab2")
    return tmp_path / "runs"


def test_of_attempts_with_one_start_both_choose_the_same(runs: Path) -> None:
    (board,) = build_report(scan_runs([runs])).table.boards
    (shown,) = [run[0] for row in board.rows if row.backbone == "one" for run in row.runs]
    assert find_run("ab1", [runs])[0] == shown


def test_several_names_take_one_search(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[object] = []
    search = find_run_module.list_run_facts
    monkeypatch.setattr(find_run_module, "list_run_facts", lambda stores: (searched.append(stores), search(stores))[1])
    found = find_runs(["ab2", str(runs / "digits" / "a"), "ab1"], [runs])
    assert [folder.name for folder, _ in found] == ["b", "a", "a.2"]
    assert len(searched) == 1
    assert find_run(str(runs / "digits" / "a"), [])[0] == runs / "digits" / "a", "a folder needs no search"
    assert len(searched) == 1


def test_the_start_of_two_ids_with_three_attempts(runs: Path) -> None:
    for search in (lambda: find_run("ab", [runs]), lambda: make_comparisons("ab", "ab1", [runs], None)):
        with pytest.raises(UserError, match="'ab' is the start of 2 run ids"):
            search()
    with pytest.raises(UnknownNameError, match="'tow' is neither a run nor a backbone with runs; did you mean two"):
        make_comparisons("ab1", "tow", [runs], None)
