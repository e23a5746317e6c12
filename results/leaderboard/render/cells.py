"""Format the cells and notes of tables as plain text. Each renderer escapes the text for its own format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from results.leaderboard.cross_board_summary import CrossBoardSummary, SummaryCell
from results.leaderboard.pareto import COST_LABELS, ParetoFront, get_row_cost
from results.leaderboard.table import Board, BoardRow
from results.published.match import UnmatchedResult

NOT_MEASURED = "not measured"

MAX_NOTES = 6
"""Maximum number of notes on rows that are displayed with a board; JSON has all of them."""


class TextTable(NamedTuple):
    """A table as text.

    Attributes:
        header: names of the columns.
        rows: cells of each row, one per column.
        numeric_columns: indices of the columns that are aligned to the right.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric_columns: frozenset[int] = frozenset()


def tabulate_board(board: Board) -> TextTable:
    """Return a board as a table; the columns of published numbers are present only if a row has one."""
    # the primary metric has a column of its own, next to its interval
    others = [name for name in board.units if name != board.primary_metric]
    reported = any(row.published_comparison for row in board.rows)
    head = ["rank", "backbone", "init", f"{board.primary_metric} ({board.units[board.primary_metric]})"]
    head += ["reported", "difference"] if reported else []
    head += [f"{name} ({board.units[name]})" for name in others]
    head += ["seeds", "parameters", "MACs", "ms", "images/s", "date (UTC)"]
    lines = []
    for row in board.rows:
        line = [format_rank(row), row.backbone, format_start(row), format_score(row, board.primary_metric)]
        line += [format_reported_value(row), format_difference(row)] if reported else []
        # a run of an earlier version of the task may lack a metric
        line += [f"{row.metrics[name]:.2f}" if name in row.metrics else NOT_MEASURED for name in others]
        line += [format_seeds(row), *format_costs(row), row.finished_at[:10] or NOT_MEASURED]
        lines.append(tuple(line))
    left = {"backbone", "init", "difference", "seeds"}
    return TextTable(tuple(head), tuple(lines), frozenset(i for i, name in enumerate(head) if name not in left))


def format_rank(row: BoardRow) -> str:
    """Return the rank, followed by ``=`` if it is shared."""
    if row.rank is None:
        return "not ranked"
    return f"{row.rank}=" if row.tied_with else str(row.rank)


def format_start(row: BoardRow) -> str:
    """Return how the row started; a start from random weights is marked as the floor."""
    return f"{row.start_label} (floor)" if row.is_random_baseline else row.start_label


def format_score(row: BoardRow, metric: str) -> str:
    """Return a metric with the row's interval."""
    value = f"{row.metrics[metric]:.2f}"
    return f"{value} ({row.interval.low:.2f} to {row.interval.high:.2f})" if row.interval else value


def format_seeds(row: BoardRow) -> str:
    """Return the number of seeds and the range of their scores."""
    if row.seed_range is None:
        return "1"
    return f"{len(row.seeds)} ({row.seed_range[0]:.2f} to {row.seed_range[1]:.2f})"


def format_reported_value(row: BoardRow) -> str:
    """Return the published number that is comparable with the row."""
    return format_published_value(row.published_comparison.published.value) if row.published_comparison else "none"


def format_published_value(value: float) -> str:
    """Return a published number with the digits it was printed with, at least one of them after the decimal point.

    >>> format_published_value(78.0), format_published_value(42.84)
    ('78.0', '42.84')
    """
    # str() gives the shortest text that reads back as the same number
    return str(float(value))


def format_difference(row: BoardRow) -> str:
    """Return our number minus the published one, and whether the difference is within the tolerance."""
    if row.published_comparison is None or row.published_comparison.published.tolerance is None:
        return "none"
    inside = "within" if row.published_comparison.is_within_tolerance else "outside"
    return (
        f"{row.published_comparison.difference:+.2f}, {inside} {row.published_comparison.published.tolerance.value:g}"
    )


def format_costs(row: BoardRow) -> tuple[str, str, str, str]:
    """Return parameters, MACs, milliseconds per image and images per second."""
    cost = row.cost
    speed = (
        NOT_MEASURED if cost.images_per_second is None else f"{cost.images_per_second:.0f} (batch {cost.batch_size})"
    )
    return (
        format_quantity(cost.parameters),
        format_quantity(cost.macs),
        NOT_MEASURED if cost.latency_ms is None else f"{cost.latency_ms:.2f}",
        speed,
    )


def format_quantity(value: float | None) -> str:
    """Return a count with three significant digits and a unit prefix.

    >>> format_quantity(5_717_416), format_quantity(44_928), format_quantity(None)
    ('5.72 M', '44.9 k', 'not measured')
    """
    if value is None:
        return NOT_MEASURED
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"


def build_board_notes(board: Board) -> list[str]:
    """Return what a reader of a board has to know, one sentence per line; the renderers print it below the board."""
    direction = "higher" if board.higher_is_better else "lower"
    lines = [
        f"{board.primary_metric}: {direction} is better; {board.rows[0].num_items} items. Key {board.comparability}."
    ]
    # rows of one board can differ here: with one seed an interval covers items only, with several seeds and items
    kinds = sorted(
        {f"{100 * row.interval.level:g} %, {row.interval.resampling_unit}" for row in board.rows if row.interval}
    )
    if kinds:
        lines.append(f"Intervals: {'; '.join(kinds)}.")
    if any(row.tied_with for row in board.rows):
        lines.append("Rows that share a rank (=) do not differ significantly on the measured items and seeds.")
    if not board.has_random_baseline:
        lines.append("No floor: this board has no run from random weights.")
    places = sorted({row.cost.timing_setup for row in board.rows if row.cost.timing_setup})
    if places:
        lines.append(f"Backbone timed on: {'; '.join(places)}.")
    notes = _group_by_text((row.note, row.label) for row in board.rows if row.note)
    lines += notes[:MAX_NOTES]
    if len(notes) > MAX_NOTES:
        lines.append(f"{len(notes) - MAX_NOTES} more notes on rows are in the output of bench table --format json.")
    for row in board.rows:
        if row.published_comparison:
            source = row.published_comparison.published
            remark = f"; {source.remark}" if source.remark else ""
            lines.append(f"Reported {row.label}: {source.citation}, {source.schedule}{remark}.")
    # most rows of a board have published numbers with the same tolerance, whose basis is printed once
    tolerances = [row.published_comparison.published.tolerance for row in board.rows if row.published_comparison]
    return lines + _group_by_text(
        (each.basis, f"tolerance {each.value:g}") for each in dict.fromkeys(tolerances) if each
    )


def _group_by_text(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Combine the names that share a text into one line: ``a, b: text.``"""
    by_text: dict[str, list[str]] = {}  # keeps the order of insertion, so the texts follow the order of the rows
    for text, name in pairs:
        by_text.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}." for text, names in by_text.items()]


def format_front(board: Board, front: ParetoFront) -> str:
    """Return a front in one line, cheapest row first."""
    where = f" on {front.timing_setup}" if front.timing_setup else ""
    unit = board.units[board.primary_metric]
    steps = [
        f"{row.label} ({_format_cost(row, front)}, {row.metrics[board.primary_metric]:.2f} {unit})"
        for row in front.rows
    ]
    return f"against {COST_LABELS[front.cost]}{where} ({front.num_measured} rows measured): {'; '.join(steps)}"


def _format_cost(row: BoardRow, front: ParetoFront) -> str:
    value = get_row_cost(row, front.cost)
    return f"{value:.2f} ms" if front.cost == "latency" else format_quantity(value)


def tabulate_summary(summary: CrossBoardSummary) -> TextTable:
    """Return a summary as a table with one row per backbone.

    The columns of the boards are numbered in the order of ``summary.board_titles``, since the titles are long.
    """
    head = (
        "backbone",
        "mean rank",
        "wins",
        "normalized",
        "boards",
        *(str(i) for i in range(1, len(summary.board_titles) + 1)),
    )
    lines = []
    for line in summary.rows:
        mean_rank = "not ranked" if line.mean_rank is None else f"{line.mean_rank:.2f}"
        normalized = NOT_MEASURED if line.mean_normalized_score is None else f"{line.mean_normalized_score:.1f}"
        there = f"{len(line.cells) - line.num_missing} of {len(line.cells)}"
        lines.append(
            (line.label, mean_rank, str(line.num_wins), normalized, there, *map(_format_summary_cell, line.cells))
        )
    return TextTable(head, tuple(lines), frozenset(range(1, len(head))))


def _format_summary_cell(cell: SummaryCell | None) -> str:
    return "missing" if cell is None else f"{cell.score:.2f}"


def tabulate_unmatched(unmatched: tuple[UnmatchedResult, ...]) -> TextTable:
    """Return the published numbers without a comparable run as a table."""
    head = ("task", "backbone", "metric", "reported", "start", "schedule", "why not comparable", "source")
    lines = [
        (
            p.task,
            p.backbone,
            f"{p.metric} ({p.unit})",
            format_published_value(p.value),
            p.start,
            p.schedule,
            why,
            p.citation,
        )
        for p, why in unmatched
    ]
    return TextTable(head, tuple(lines), frozenset({3}))
