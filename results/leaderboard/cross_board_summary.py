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

from results.leaderboard.table import Board, BoardRow
from results.records.record import TIER_ORDER, Tier

NORMALIZED_SCORE_FORMULA = "100 x (score - worst) / (best - worst) over the rows of a board"


class SummaryCell(NamedTuple):
    """A backbone on a board: its score, its rank there, and the normalised score where the board compares."""

    score: float
    rank: int | None
    normalized_score: float | None


class SummaryRow(NamedTuple):
    """One backbone over all boards.

    Attributes:
        backbone: its name; ``label`` says also how it started.
        cells: one a board; ``None`` where it has no row there (or two that its name and start do not tell apart).
        num_missing: boards without it.
        mean_rank: over the comparing boards it is ranked on.
        num_wins: boards where it has rank 1 (shared ranks count for each).
        mean_normalized_score: mean over the comparing boards it is on.
    """

    backbone: str
    label: str
    cells: tuple[SummaryCell | None, ...]
    num_missing: int
    mean_rank: float | None
    num_wins: int
    mean_normalized_score: float | None


class CrossBoardSummary(NamedTuple):
    """The boards of one tier and a line a backbone: fewest missing cells first, then the lower mean rank."""

    tier: Tier
    board_titles: tuple[str, ...]
    rows: tuple[SummaryRow, ...]


def summarize_boards(boards: Sequence[Board]) -> tuple[CrossBoardSummary, ...]:
    """One summary a tier that has two boards or more; tiers never mix."""
    by_tier = {tier: [board for board in boards if board.tier == tier] for tier in TIER_ORDER}
    return tuple(_summarize_tier(tier, same) for tier, same in by_tier.items() if len(same) > 1)


def _summarize_tier(tier: Tier, boards: Sequence[Board]) -> CrossBoardSummary:
    columns = [_build_column(board) for board in boards]
    names = {row.label: row.backbone for board in boards for row in board.rows}
    lines = [
        _build_summary_row(name, label, [column.get(label) for column in columns])
        for label, name in sorted(names.items())
    ]
    lines.sort(key=lambda line: (line.num_missing, line.mean_rank is None, line.mean_rank or 0.0, line.label))
    return CrossBoardSummary(tier, tuple(board.title.replace(f" · {tier}", "", 1) for board in boards), tuple(lines))


def _build_column(board: Board) -> dict[str, SummaryCell]:
    """The cells of a board by label; a label that two of its rows bear has none."""
    rows: dict[str, list[BoardRow]] = defaultdict(list)
    for row in board.rows:
        rows[row.label].append(row)
    scores = [row.metrics[board.primary_metric] for row in board.rows]
    best, worst = (max(scores), min(scores)) if board.higher_is_better else (min(scores), max(scores))

    def cell(row: BoardRow) -> SummaryCell:
        score = row.metrics[board.primary_metric]
        if best == worst:
            return SummaryCell(score, None, None)
        return SummaryCell(score, row.rank, 100 * (score - worst) / (best - worst))

    return {label: cell(same[0]) for label, same in rows.items() if len(same) == 1}


def _build_summary_row(backbone: str, label: str, cells: Sequence[SummaryCell | None]) -> SummaryRow:
    there = [cell for cell in cells if cell is not None]
    ranks = [cell.rank for cell in there if cell.rank is not None]
    normalised = [cell.normalized_score for cell in there if cell.normalized_score is not None]
    return SummaryRow(
        backbone=backbone,
        label=label,
        cells=tuple(cells),
        num_missing=len(cells) - len(there),
        mean_rank=fmean(ranks) if ranks else None,
        num_wins=sum(rank == 1 for rank in ranks),
        mean_normalized_score=fmean(normalised) if normalised else None,
    )
