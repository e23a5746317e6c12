"""What tells most per hour comes first, and the budget is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.matrix.cell_states import RowKey
from benchmarks.matrix.choose_cells import choose_cells
from benchmarks.matrix.estimate import CellEstimate
from benchmarks.matrix.plan_cells import FeatureKey, PlannedCell
from benchmarks.resolve_cell import CellRequest
from results.leaderboard.report import build_report
from results.records.store import scan_runs
from tests.results.make import make_cost, write_digits_run

HOUR = 3600.0


def make_cell(name: str, seed: int = 0, hours: float | None = 1.0, board: str = "b", **changes: Any) -> PlannedCell:
    """A missing cell of a random backbone."""
    seconds = None if hours is None else hours * HOUR
    return replace(
        PlannedCell(
            CellRequest(task="digits", backbone=name, seed=seed),
            "missing",
            row=RowKey(board, name, "random", ""),
            estimate=CellEstimate("calibrated", seconds=seconds),
            estimated_seconds=seconds,
        ),
        **changes,
    )


def choose(cells: list[PlannedCell], hours: float, **options: Any) -> list[tuple[str, int]]:
    """Backbone and seed of the cells that are chosen, in their order."""
    return [(cell.backbone, cell.request.seed) for cell in choose_cells(cells, hours, **options)]


def test_first_seeds_come_before_second_ones_and_cheap_before_dear() -> None:
    cells = [make_cell(name, seed, hours) for name, hours in (("dear", 4), ("cheap", 1)) for seed in (0, 1)]
    assert choose(cells, 100) == [("cheap", 0), ("dear", 0), ("cheap", 1), ("dear", 1)]
    assert choose(cells, 5.5) == [("cheap", 0), ("dear", 0)]
    assert choose(cells, 3) == [("cheap", 0), ("cheap", 1)], "what does not fit is passed over for what does"
    assert choose(cells, 0.5) == []


def test_only_cells_that_need_a_run_and_have_a_known_duration_are_chosen() -> None:
    cells = [
        make_cell("done", state="done"),
        make_cell("impossible", state="impossible", row=None),
        make_cell("unknown", hours=None),
        make_cell("stale", state="stale"),
        make_cell("slow_but_begun", hours=8, state="unfinished", progress=0.9),
    ]
    assert choose(cells, 2) == [("slow_but_begun", 0), ("stale", 0)]


def test_what_is_left_of_a_cell_counts_and_not_what_is_paid() -> None:
    cells = [make_cell(name, hours=hours, state="unfinished", progress=progress)
             for name, hours, progress in (("begun", 5, 0), ("almost_there", 10, 0.9))]  # fmt: skip
    assert choose(cells, 5) == [("almost_there", 0)]


def test_shared_features_are_paid_for_once_whatever_the_order() -> None:
    def share(name: str, hours: float) -> PlannedCell:
        cell = make_cell(name, 0, hours, board=name)
        estimate = replace(cell.estimate, feature_seconds={"train": 0.9 * HOUR})
        return replace(
            cell, estimate=estimate, estimated_seconds=0.0, shared_features={"train": FeatureKey("one pass")}
        )

    chosen = choose_cells([share("linear", 2), share("knn", 1)], 2.2)
    assert [cell.backbone for cell in chosen] == ["knn", "linear"]
    assert [round((cell.estimated_seconds or 0) / HOUR, 3) for cell in chosen] == [1.0, 1.1]


def test_rows_that_are_not_settled_come_before_clear_ones(tmp_path: Path) -> None:
    num_items = 400
    # (items right, parameters) of rows with two seeds: "best" leads clearly, two are alike, "worst" is clearly behind
    rows: Mapping[str, tuple[int, int]] = {
        "best": (390, 900), "even": (300, 800), "equal": (301, 850), "worst": (100, 990), "small": (90, 10),
    }  # fmt: skip
    boards = set()
    for name, (right, parameters) in rows.items():
        for seed in (0, 1):
            correct = [item < right for item in range(num_items)]
            _, record = write_digits_run(
                tmp_path / f"digits/{name}-{seed}", name, correct, seed, cost=make_cost(parameters, parameters / 100)
            )
            boards.add(record.comparability)
    (board,) = boards
    report = build_report(scan_runs([tmp_path]))
    kind = {row.label: row.runs[0][1].backbone.init for row in report.table.boards[0].rows}
    sha = {row.backbone: row.runs[0][1].start_sha256 for row in report.table.boards[0].rows}
    assert len(kind) == len(rows)
    cells = [
        make_cell(name, 2, row=RowKey(board, name, next(iter(kind.values())), sha[name]))
        for name in ("worst", "best", "even", "equal", "small")
    ]
    order = [name for name, _ in choose([*cells, make_cell("new", 0, hours=3)], 100, report=report)]
    assert order[0] == "new", "a row without a score comes first, although it is dear"
    assert order[-1] == "worst", "neither tied nor on a front"
    assert set(order[1:-1]) == {"best", "even", "equal", "small"}
