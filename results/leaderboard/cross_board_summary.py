"""All boards of one tier side by side: a row a backbone, a column a board, and what can be said over the columns.

Normalised score of a row on a board: ``100 * (score - worst) / (best - worst)`` over the board's rows, so the best
row has 100 and the worst 0 whatever the metric's direction. Boards with one row, or whose rows are equal, compare
nothing and give no normalised score, rank or win.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from results.leaderboard.table import Board, Row
from results.records.record import Tier

FORMULA = "100 x (score - worst) / (best - worst) over the rows of a board"


class Cell(NamedTuple):
    """A backbone on a board: its score, its rank there, and the normalised score where the board compares."""

    score: float
    rank: int | None
    normalised: float | None


class Line(NamedTuple):
    """One backbone over all boards.

    Attributes:
        backbone: its name; ``label`` says also how it started.
        cells: one a board; ``None`` where it has no row there (or two that its name and start do not tell apart).
        missing: boards without it.
        mean_rank: over the comparing boards it is ranked on.
        wins: boards where it has rank 1 (shared ranks count for each).
        normalised: mean over the comparing boards it is on.
    """

    backbone: str
    label: str
    cells: tuple[Cell | None, ...]
    missing: int
    mean_rank: float | None
    wins: int
    normalised: float | None


class Overview(NamedTuple):
    """The boards of one tier and a line a backbone: fewest missing cells first, then the lower mean rank."""

    tier: Tier
    boards: tuple[str, ...]
    lines: tuple[Line, ...]


def overviews(boards: Sequence[Board]) -> tuple[Overview, ...]:
    """One overview a tier that has two boards or more; tiers never mix."""
    order: tuple[Tier, ...] = ("full", "short", "smoke")
    by_tier = {tier: [board for board in boards if board.tier == tier] for tier in order}
    return tuple(_overview(tier, same) for tier, same in by_tier.items() if len(same) > 1)


def _overview(tier: Tier, boards: Sequence[Board]) -> Overview:
    columns = [_column(board) for board in boards]
    names = {row.label: row.backbone for board in boards for row in board.rows}
    lines = [_line(name, label, [column.get(label) for column in columns]) for label, name in sorted(names.items())]
    lines.sort(key=lambda line: (line.missing, line.mean_rank is None, line.mean_rank or 0.0, line.label))
    return Overview(tier, tuple(board.title.replace(f" · {tier}", "", 1) for board in boards), tuple(lines))


def _column(board: Board) -> dict[str, Cell]:
    """The cells of a board by label; a label that two of its rows bear has none."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in board.rows:
        rows[row.label].append(row)
    scores = [row.metrics[board.primary] for row in board.rows]
    best, worst = (max(scores), min(scores)) if board.higher_is_better else (min(scores), max(scores))

    def cell(row: Row) -> Cell:
        score = row.metrics[board.primary]
        if best == worst:
            return Cell(score, None, None)
        return Cell(score, row.rank, 100 * (score - worst) / (best - worst))

    return {label: cell(same[0]) for label, same in rows.items() if len(same) == 1}


def _line(backbone: str, label: str, cells: Sequence[Cell | None]) -> Line:
    there = [cell for cell in cells if cell is not None]
    ranks = [cell.rank for cell in there if cell.rank is not None]
    normalised = [cell.normalised for cell in there if cell.normalised is not None]
    return Line(
        backbone=backbone,
        label=label,
        cells=tuple(cells),
        missing=len(cells) - len(there),
        mean_rank=fmean(ranks) if ranks else None,
        wins=sum(rank == 1 for rank in ranks),
        normalised=fmean(normalised) if normalised else None,
    )
