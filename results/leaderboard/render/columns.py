"""The columns of tables: names, meanings, and which hold numbers. Every renderer takes its heads from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from results.leaderboard.cross_board_summary import NORMALIZED_SCORE_FORMULA
from results.leaderboard.table import Board

SUMMARY_TITLE = "All boards"
UNMATCHED_TITLE = "Published numbers that stand beside none of ours"


class ColumnHeader(NamedTuple):
    """A column's head; ``tooltip`` explains it where there is room."""

    name: str
    numeric: bool = True
    tooltip: str = ""


class BoardColumns(NamedTuple):
    """The columns of a board; each renderer has an order of its own."""

    rank: ColumnHeader
    backbone: ColumnHeader
    start: ColumnHeader
    score: ColumnHeader
    published: tuple[ColumnHeader, ...]
    other_metrics: tuple[ColumnHeader, ...]
    costs: tuple[ColumnHeader, ...]
    seeds: ColumnHeader
    date: ColumnHeader


def build_board_columns(board: Board) -> BoardColumns:
    """The columns of a board; those of published numbers only where a row has one."""
    published = (
        ColumnHeader("reported", tooltip="the published number"),
        ColumnHeader("difference", tooltip="ours minus the published"),
    )
    return BoardColumns(
        rank=ColumnHeader("rank", tooltip="= shared: not told apart by the items and seeds measured"),
        backbone=ColumnHeader("backbone", numeric=False),
        start=ColumnHeader("init", numeric=False),
        score=ColumnHeader(
            format_metric_name(board, board.primary_metric), tooltip="mean over the seeds, with its interval"
        ),
        published=published if board.has_published else (),
        other_metrics=tuple(ColumnHeader(format_metric_name(board, name)) for name in board.other_metrics),
        costs=(
            ColumnHeader("parameters", tooltip="of the backbone, with its classifier if it was trained with one"),
            ColumnHeader("MACs", tooltip="multiply-accumulates of the backbone per image, attention products included"),
            ColumnHeader("ms", tooltip="the backbone on one image, median"),
            ColumnHeader("images/s"),
        ),
        seeds=ColumnHeader("seeds"),
        date=ColumnHeader("date (UTC)", numeric=False),
    )


def build_summary_columns(board_names: Sequence[str]) -> tuple[ColumnHeader, ...]:
    """The columns of the view over all boards.

    Args:
        board_names: a column each, as titles or as numbers.
    """
    return (
        ColumnHeader("backbone", numeric=False),
        ColumnHeader("mean rank", tooltip="over the boards that compare and rank it"),
        ColumnHeader("wins", tooltip="boards where it has rank 1, shared or not"),
        ColumnHeader("normalised", tooltip=f"{NORMALIZED_SCORE_FORMULA}, mean"),
        ColumnHeader("boards", tooltip="boards it is on"),
        *(ColumnHeader(name) for name in board_names),
    )


def format_metric_name(board: Board, metric: str) -> str:
    """A metric with its unit, if it has one: ``top1 (%)``."""
    unit = board.units[metric]
    return f"{metric} ({unit})" if unit else metric
