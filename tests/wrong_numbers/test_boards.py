"""Points 7 and 8 on the boards: runs of two networks are no row, and rows of two versions say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.results.compare import format_comparison
from foundation.errors import UserError
from results.leaderboard.render.cells import build_board_notes
from results.leaderboard.table import build_table
from results.records.record import Record
from results.statistics.comparison import compare_backbones, group_runs_by_board
from tests.results.make import make_cost, make_record, make_scan, write_digits_run


def make_seed(seed: int, *, parameters: int | None = None, model: str | None = None, **changes: Any) -> Record:
    backbone: dict[str, Any] = {"parameters": parameters}
    if model:
        backbone["model"] = {"structure": model * 64}
    return make_record(50.0 + seed, run_id=f"run{seed}", seed=seed, backbone=backbone, **changes)


def test_seeds_of_two_networks_are_refused_as_one_row() -> None:
    table = build_table(make_scan(make_seed(0, parameters=5_000), make_seed(1, parameters=9_000)), published=[])
    assert table.boards == ()
    assert len(table.unranked) == 2
    assert "different networks: 5,000 and 9,000 parameters" in table.unranked[0].reason


def test_seeds_with_different_macs_are_refused_as_one_row() -> None:
    costs = [make_cost(5_000, 1.0), make_cost(5_000, 1.0, macs=7)]
    table = build_table(make_scan(*(make_seed(seed, cost=cost) for seed, cost in enumerate(costs))), published=[])
    assert not table.boards and "multiply-accumulates" in table.unranked[0].reason


def test_an_edited_plugin_gets_a_row_of_its_own() -> None:
    records = [make_seed(0, model="a"), make_seed(1, model="b"), make_seed(2, model="b")]
    (board,) = build_table(make_scan(*records), published=[]).boards
    assert sorted(row.seeds for row in board.rows) == [(0,), (1, 2)]
    assert all("network " in row.note for row in board.rows)


def test_runs_from_before_there_was_a_digest_join_the_only_network() -> None:
    (board,) = build_table(make_scan(make_seed(0), make_seed(1, model="a")), published=[]).boards
    assert [row.seeds for row in board.rows] == [(0, 1)] and not board.rows[0].note.startswith("network")


def test_several_seeds_of_one_network_stay_one_row() -> None:
    records = [make_seed(seed, parameters=5_000, model="a") for seed in range(3)]
    (board,) = build_table(make_scan(*records), published=[]).boards
    assert [row.seeds for row in board.rows] == [(0, 1, 2)]


def test_a_board_says_where_versions_differ() -> None:
    first, second = make_seed(0), make_seed(1)
    moved = second.environment.model_copy(update={"packages": second.environment.packages | {"timm": "99.0"}})
    (board,) = build_table(make_scan(first, second.model_copy(update={"environment": moved})), published=[]).boards
    (line,) = (note for note in build_board_notes(board) if "different versions" in note)
    assert "timm" in line and "99.0" in line and "torch" not in line
    (board,) = build_table(make_scan(first, second), published=[]).boards
    assert not any("different versions" in note for note in build_board_notes(board))


def test_compare_says_where_versions_differ(tmp_path: Path) -> None:
    one = write_digits_run(tmp_path / "one", "vit_nano", [True, False] * 20)
    other = write_digits_run(tmp_path / "other", "vit_pico", [False, True] * 20)
    moved = other[1].environment.model_copy(update={"packages": other[1].environment.packages | {"numpy": "9.9"}})
    comparison = compare_backbones([one], [(other[0], other[1].model_copy(update={"environment": moved}))])
    assert any("made with different versions: numpy" in line for line in format_comparison(comparison, None))
    assert not compare_backbones([one], [other]).version_differences


def test_compare_refuses_a_backbone_that_was_edited(tmp_path: Path) -> None:
    runs = []
    for seed, model in enumerate("ab"):
        folder, record = write_digits_run(tmp_path / model, "vit_nano", [True] * 10, seed=seed)
        backbone = record.backbone.model_copy(update={"model": {"structure": model * 64}})
        runs.append((folder, record.model_copy(update={"backbone": backbone})))
    with pytest.raises(UserError, match="vit_nano is not one backbone: its runs have different networks"):
        group_runs_by_board(runs, "vit_nano")
    assert group_runs_by_board(runs[:1], "vit_nano")


def test_a_board_says_that_test_items_are_in_train() -> None:
    record = make_seed(0)
    data = record.data.model_copy(update={"duplicates": ["1 item of test has the content of an item of train: a = b"]})
    (board,) = build_table(make_scan(record.model_copy(update={"data": data})), published=[]).boards
    assert "test items in train" in board.title
    assert any("allowed by the user: 1 item of test" in note for note in build_board_notes(board))
