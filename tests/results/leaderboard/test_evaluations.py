from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from results.leaderboard.page.overview import build_overview_tables
from results.leaderboard.render.cells import build_board_notes
from results.leaderboard.summary.cross_board_summary import summarize_boards
from results.leaderboard.table import Board, LeaderboardTable, build_table
from results.leaderboard.timing_index import iter_run_timings
from results.records.store import scan_runs
from tests.results.make import make_cost, write_digits_run
from tests.results.make_evaluations import write_evaluation

RIGHT = [number % 10 != 0 for number in range(200)]
WORSE = [number % 2 != 0 for number in range(200)]


def read_table(store: Path) -> LeaderboardTable:
    return build_table(scan_runs([store]), published=())


def read_board(store: Path) -> Board:
    (board,) = read_table(store).boards
    return board


def names(board: Board) -> Sequence[str]:
    return sorted(row.label for row in board.rows)


def test_one_model_in_several_runtimes_and_settings_has_rows_whose_names_say_it(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "digits/a", "deit", RIGHT, {"img_size": 224})
    write_evaluation(tmp_path / "digits/b", "deit", RIGHT, {"img_size": 256})
    write_evaluation(
        tmp_path / "digits/c", "deit", RIGHT, {"img_size": 224, "runtime": "openvino", "precision": "int8"}
    )
    write_evaluation(tmp_path / "digits/d", "other", RIGHT, {"img_size": 32})
    board = read_board(tmp_path)
    # a setting that all rows of a model share, or that only another model has, is not in the name
    assert names(board) == [
        "deit (img_size=224)",
        "deit (img_size=256)",
        "deit (openvino int8, img_size=224)",
        "other",
    ]
    assert {row.name for row in board.rows} == set(names(board))


def test_an_exported_model_is_named_even_where_it_is_alone(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "digits/a", "deit", RIGHT, {"runtime": "onnxruntime"})
    assert names(read_board(tmp_path)) == ["deit (onnxruntime)"]


def test_finished_models_are_ranked_on_the_items_alone(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "digits/a", "good", RIGHT)
    write_evaluation(tmp_path / "digits/b", "good", [*RIGHT[:-1], not RIGHT[-1]], {"tta": "flip"})
    write_evaluation(tmp_path / "digits/c", "poor", WORSE)
    board = read_board(tmp_path)
    ranks = {row.backbone: (row.rank, len(row.tied_with), row.note) for row in board.rows}
    assert ranks == {"good": (1, 1, ""), "poor": (3, 0, "")}
    assert not any("seed" in note or "No floor" in note for note in build_board_notes(board))


def test_trained_rows_of_one_seed_are_still_not_ranked(tmp_path: Path) -> None:
    write_digits_run(tmp_path / "digits/a", "good", RIGHT)
    write_digits_run(tmp_path / "digits/b", "poor", WORSE)
    assert [row.rank for row in read_board(tmp_path).rows] == [None, None]


def test_the_time_of_a_row_is_that_of_its_own_record(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "digits/a", "deit", RIGHT, milliseconds=8.0)
    write_evaluation(tmp_path / "digits/b", "deit", RIGHT, {"runtime": "openvino"}, milliseconds=3.0)
    write_evaluation(tmp_path / "digits/c", "deit", RIGHT, {"runtime": "onnxruntime"}, milliseconds=None)
    # a quiet timing of the same backbone elsewhere would be taken for a trained row
    write_digits_run(tmp_path / "digits/d", "deit", RIGHT, cost=make_cost(1_000_000, 1.0), schema_version=7)
    boards = {board.protocol: board for board in read_table(tmp_path).boards}
    costs = {row.variant: (row.cost.latency_ms, row.cost.timing_setup) for row in boards["as_is"].rows}
    # runtime and precision belong to the row, so all three are of one setup and may be compared
    assert costs == {
        "": (8.0, "a chip, 1 thread"),
        "openvino": (3.0, "a chip, 1 thread"),
        "onnxruntime": (None, ""),
    }
    assert [timing.folder for timing in iter_run_timings(scan_runs([tmp_path]))] == [str(tmp_path / "digits/d")]


def test_a_busy_time_says_how_to_renew_it(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "digits/a", "deit", RIGHT, efficiency={"other_load": 0.9, "processors": 2})
    (row,) = read_board(tmp_path).rows
    assert row.cost.is_busy and row.cost.renewal == "evaluate it again with --fresh"


def test_finished_models_and_trained_backbones_share_no_summary(tmp_path: Path) -> None:
    for task in ("digits", "others"):
        write_evaluation(tmp_path / task / "a", "deit", RIGHT, task=task)
        write_digits_run(tmp_path / task / "b", "deit", RIGHT, task=task)
    boards = read_table(tmp_path).boards
    assert [(view.scope, len(view.board_titles)) for view in summarize_boards(boards)] == [("full", 2), ("as_is", 2)]
    tables = build_overview_tables(boards)
    assert [(table.scope, {column.title for column in table.columns}) for table in tables] == [
        ("full", {"finetune"}),
        ("as_is", {"as_is"}),
    ]
