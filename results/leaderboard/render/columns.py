"""The columns of all tables: their names, what they mean, and whether they hold numbers, for every renderer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from results.leaderboard.table import Board

SUMMARY_TITLE = "All boards"
UNMATCHED_TITLE = "Published numbers without a comparable run of ours"


class ColumnHeader(NamedTuple):
    """The header of a column; ``tooltip`` explains it on the page."""

    name: str
    numeric: bool = True
    tooltip: str = ""


class BoardColumns(NamedTuple):
    """The columns of a board; each renderer puts them into its own order."""

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
    """Return the columns of a board; those of published numbers are empty if no row has one."""
    published = (
        ColumnHeader("reported", tooltip="the published number"),
        ColumnHeader("difference", tooltip="our number minus the published one"),
    )
    what = "the model that was evaluated" if board.is_evaluation else "the backbone"
    return BoardColumns(
        rank=ColumnHeader("rank", tooltip="=: shared, no significant difference on the measured items and seeds"),
        backbone=ColumnHeader("backbone", numeric=False),
        start=ColumnHeader("init", numeric=False),  # the field of a record from which it comes
        score=ColumnHeader(
            format_metric_name(board, board.primary_metric), tooltip="mean over the seeds, with its interval"
        ),
        published=published if board.has_published else (),
        other_metrics=tuple(ColumnHeader(format_metric_name(board, name)) for name in board.shown_metrics),
        # in the order in which format_costs returns their cells
        costs=(
            ColumnHeader(
                "parameters",
                tooltip=f"of {what}"
                if board.is_evaluation
                else f"of {what}, with its classifier if it was trained with one",
            ),
            ColumnHeader("MACs", tooltip=f"multiply-accumulates of {what} per image, attention products included"),
            ColumnHeader("ms", tooltip=f"median milliseconds of {what} for one image"),
            ColumnHeader("images/s"),
        ),
        seeds=ColumnHeader("seeds"),
        date=ColumnHeader("date (UTC)", numeric=False),
    )


def build_summary_columns(board_names: Sequence[str]) -> tuple[ColumnHeader, ...]:
    """Return the columns of the summary over all boards.

    Args:
        board_names: header of each board's column: titles where there is room, else numbers.
    """
    # in the order in which format_summary_row returns their cells, after the backbone
    return (
        ColumnHeader("backbone", numeric=False),
        ColumnHeader("mean rank", tooltip="over the tasks of the complete block; =: not told apart from the best"),
        ColumnHeader("win rate", tooltip="share of the comparisons with other rows that it wins, and their number"),
        ColumnHeader("boards", tooltip="number of boards it is on"),
        *(ColumnHeader(name) for name in board_names),
    )


def format_metric_name(board: Board, metric: str) -> str:
    """Return the name of a metric with its unit, if it has one: ``top1 (%)``."""
    unit = board.units[metric]
    return f"{metric} ({unit})" if unit else metric
