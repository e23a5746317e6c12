"""Summarize all boards of one tier: one row per backbone, one column per board, and averages over the boards.

The normalized score of a row on a board is ``100 * (score - worst) / (best - worst)`` over the rows of the board. The
best row has 100 and the worst one 0, whatever the metric's direction. A board with one row, or with equal scores, does
not compare anything, so it gives no normalized score, rank or win.
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
    """The score of a backbone on a board; rank and normalized score are ``None`` if the board does not compare rows."""

    score: float
    rank: int | None
    normalized_score: float | None


class SummaryRow(NamedTuple):
    """One backbone over all boards.

    Attributes:
        backbone: name of the backbone.
        label: the name and how the backbone started.
        cells: one per board. ``None`` if the board has no row with this label, or more than one.
        num_missing: number of boards without the backbone.
        mean_rank: mean over the boards on which it is ranked.
        num_wins: number of boards on which it has rank 1; a shared rank 1 counts for each row that has it.
        mean_normalized_score: mean over its boards that have a normalized score.
    """

    backbone: str
    label: str
    cells: tuple[SummaryCell | None, ...]
    num_missing: int
    mean_rank: float | None
    num_wins: int
    mean_normalized_score: float | None


class CrossBoardSummary(NamedTuple):
    """The boards of one tier, with one row per backbone: fewest missing boards first, then the lower mean rank."""

    tier: Tier
    board_titles: tuple[str, ...]
    rows: tuple[SummaryRow, ...]


def summarize_boards(boards: Sequence[Board]) -> tuple[CrossBoardSummary, ...]:
    """Return one summary for each tier that has two or more boards. Tiers are never mixed."""
    by_tier = {tier: [board for board in boards if board.tier == tier] for tier in TIER_ORDER}
    return tuple(_summarize_tier(tier, same) for tier, same in by_tier.items() if len(same) > 1)


def _summarize_tier(tier: Tier, boards: Sequence[Board]) -> CrossBoardSummary:
    columns = [_build_column(board) for board in boards]
    # run ids differ from board to board, so the rows of one backbone are matched by their label
    names = {row.label: row.backbone for board in boards for row in board.rows}
    lines = [
        _build_summary_row(name, label, [column.get(label) for column in columns])
        for label, name in sorted(names.items())
    ]
    # a mean over fewer boards is less informative, so complete rows come first; unranked rows come after ranked ones
    lines.sort(key=lambda line: (line.num_missing, line.mean_rank is None, line.mean_rank or 0.0, line.label))
    return CrossBoardSummary(tier, tuple(board.title.replace(f" · {tier}", "", 1) for board in boards), tuple(lines))


def _build_column(board: Board) -> dict[str, SummaryCell]:
    """Return the cells of a board by label. A label that several rows of the board share has no cell."""
    rows: dict[str, list[BoardRow]] = defaultdict(list)
    for row in board.rows:
        rows[row.label].append(row)
    # with best and worst by the metric's direction, one formula serves both directions
    scores = [row.metrics[board.primary_metric] for row in board.rows]
    best, worst = (max(scores), min(scores)) if board.higher_is_better else (min(scores), max(scores))

    def cell(row: BoardRow) -> SummaryCell:
        score = row.metrics[board.primary_metric]
        if best == worst:
            return SummaryCell(score, None, None)
        return SummaryCell(score, row.rank, 100 * (score - worst) / (best - worst))

    # two rows with one label (a card that was changed) cannot be distinguished in the summary: show neither
    return {label: cell(same[0]) for label, same in rows.items() if len(same) == 1}


def _build_summary_row(backbone: str, label: str, cells: Sequence[SummaryCell | None]) -> SummaryRow:
    there = [cell for cell in cells if cell is not None]
    ranks = [cell.rank for cell in there if cell.rank is not None]
    normalized = [cell.normalized_score for cell in there if cell.normalized_score is not None]
    return SummaryRow(
        backbone=backbone,
        label=label,
        cells=tuple(cells),
        num_missing=len(cells) - len(there),
        mean_rank=fmean(ranks) if ranks else None,
        num_wins=sum(rank == 1 for rank in ranks),
        mean_normalized_score=fmean(normalized) if normalized else None,
    )
