"""The cells of tables as plain text, for every renderer that writes them; each escapes them in its own way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from results.leaderboard.cross_board_summary import CrossBoardSummary, SummaryRow
from results.leaderboard.pareto import COST_LABELS, ParetoFront, get_row_cost
from results.leaderboard.render.columns import build_board_columns, build_summary_columns
from results.leaderboard.table import Board, BoardRow
from results.published.match import UnmatchedResult

NOT_MEASURED = "not measured"

MAX_NOTES = 6
"""Notes on rows that a board shows; JSON has them all."""


class TextTable(NamedTuple):
    """A table: its head and its lines; ``numeric_columns``: those that are set flush right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric_columns: frozenset[int] = frozenset()


def tabulate_board(board: Board) -> TextTable:
    """A board; columns of published numbers and of throughput only where a row has them."""
    columns = build_board_columns(board)
    headers = [columns.rank, columns.backbone, columns.start, columns.score, *columns.published]
    headers += [*columns.other_metrics, columns.seeds, *columns.costs, columns.date]
    lines = []
    for row in board.rows:
        line = [format_rank(row), row.backbone, format_start(row), format_score(row, board.primary_metric)]
        line += [format_reported_value(row), format_difference(row)] if board.has_published else []
        line += [f"{row.metrics[name]:.2f}" if name in row.metrics else NOT_MEASURED for name in board.other_metrics]
        line += [format_seeds(row), *format_costs(row), row.finished_at[:10] or NOT_MEASURED]
        lines.append(tuple(line))
    head = tuple(header.name for header in headers)
    left = {"backbone", "init", "difference", "seeds"}  # words, or numbers with words behind them
    return TextTable(head, tuple(lines), frozenset(i for i, name in enumerate(head) if name not in left))


def format_rank(row: BoardRow) -> str:
    """The rank, ``=`` behind it where it is shared."""
    if row.rank is None:
        return "not ranked"
    return f"{row.rank}=" if row.tied_with else str(row.rank)


def format_start(row: BoardRow) -> str:
    """How the row started; random weights are the floor."""
    return f"{row.start_label} (floor)" if row.is_random_baseline else row.start_label


def format_score(row: BoardRow, metric: str) -> str:
    """The primary metric with its interval."""
    value = f"{row.metrics[metric]:.2f}"
    return f"{value} ({format_range(row.interval.low, row.interval.high)})" if row.interval else value


def format_range(low: float, high: float) -> str:
    """Two ends.

    >>> format_range(1.0, 2.345)
    '1.00 to 2.35'
    """
    return f"{low:.2f} to {high:.2f}"


def format_seeds(row: BoardRow) -> str:
    """How many seeds, and how far apart their scores are."""
    if row.seed_range is None:
        return "1"
    return f"{len(row.seeds)} ({format_range(*row.seed_range)})"


def format_reported_value(row: BoardRow) -> str:
    """The published number that this row may stand beside."""
    return format_published_value(row.published_comparison.published.value) if row.published_comparison else "none"


def format_published_value(value: float) -> str:
    """A published number with the digits it was printed with, at least one behind the point.

    >>> format_published_value(78.0), format_published_value(42.84)
    ('78.0', '42.84')
    """
    return str(float(value))


def format_difference(row: BoardRow) -> str:
    """Ours minus the published number, and whether that is within its tolerance: ``-0.20, within 0.3``."""
    return ", ".join(filter(None, split_difference(row)))


def split_difference(row: BoardRow) -> tuple[str, str]:
    """The two parts of ``format_difference``."""
    if row.published_comparison is None or row.published_comparison.published.tolerance is None:
        return "none", ""
    inside = "within" if row.published_comparison.is_within_tolerance else "outside"
    tolerance = row.published_comparison.published.tolerance.value
    return f"{row.published_comparison.difference:+.2f}", f"{inside} {tolerance:g}"


def format_costs(row: BoardRow) -> tuple[str, str, str, str]:
    """Parameters, MACs, milliseconds an image, images a second."""
    cost = row.cost
    speed, batch = split_throughput(row)
    return (
        format_quantity(cost.parameters),
        format_quantity(cost.macs),
        NOT_MEASURED if cost.latency_ms is None else f"{cost.latency_ms:.2f}",
        f"{speed} ({batch})" if batch else speed,
    )


def split_throughput(row: BoardRow) -> tuple[str, str]:
    """Images a second, and the batch they were measured with, which is empty where nothing was."""
    if row.cost.images_per_second is None:
        return NOT_MEASURED, ""
    return f"{row.cost.images_per_second:.0f}", f"batch {row.cost.batch_size}"


def format_quantity(value: float | None) -> str:
    """A count for people: ``5.72 M``.

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
    """What a reader of a board has to know, a sentence a line."""
    direction = "higher" if board.higher_is_better else "lower"
    lines = [
        f"{board.primary_metric}: {direction} is better; {board.rows[0].num_items} items. Key {board.comparability}."
    ]
    kinds = sorted(
        {f"{100 * row.interval.level:g} %, {row.interval.resampling_unit}" for row in board.rows if row.interval}
    )
    if kinds:
        lines.append(f"Intervals: {'; '.join(kinds)}.")
    if any(row.tied_with for row in board.rows):
        lines.append("Rows that share a rank (=) are not told apart by the items and seeds measured.")
    if not board.has_random_baseline:
        lines.append("No floor: no run from random weights is on this board.")
    places = sorted({row.cost.timing_setup for row in board.rows if row.cost.timing_setup})
    if places:
        lines.append(f"Times of the backbone: {'; '.join(places)}.")
    notes = _group_by_text((row.note, row.label) for row in board.rows if row.note)
    lines += notes[:MAX_NOTES]
    if len(notes) > MAX_NOTES:
        lines.append(f"{len(notes) - MAX_NOTES} more notes on rows: bench table --format json.")
    for row in board.rows:
        if row.published_comparison:
            source = row.published_comparison.published
            remark = f"; {source.remark}" if source.remark else ""
            lines.append(f"Reported {row.label}: {source.citation}, {source.schedule}{remark}.")
    tolerances = [row.published_comparison.published.tolerance for row in board.rows if row.published_comparison]
    return lines + _group_by_text(
        (each.basis, f"tolerance {each.value:g}") for each in dict.fromkeys(tolerances) if each
    )


def _group_by_text(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """What is said of several rows, once: ``a, b: text.``"""
    by_text: dict[str, list[str]] = {}
    for text, name in pairs:
        by_text.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}." for text, names in by_text.items()]


def format_front(board: Board, front: ParetoFront) -> str:
    """A front in one line, cheapest first."""
    where = f" on {front.timing_setup}" if front.timing_setup else ""
    unit = board.units[board.primary_metric]
    scores = [f"{row.metrics[board.primary_metric]:.2f} {unit}".strip() for row in front.rows]
    steps = [
        f"{row.label} ({_format_cost(row, front)}, {score})" for row, score in zip(front.rows, scores, strict=True)
    ]
    return f"against {COST_LABELS[front.cost]}{where}, of {front.num_measured} rows: {'; '.join(steps)}"


def _format_cost(row: BoardRow, front: ParetoFront) -> str:
    value = get_row_cost(row, front.cost)
    return f"{value:.2f} ms" if front.cost == "latency" else format_quantity(value)


def tabulate_summary(summary: CrossBoardSummary) -> TextTable:
    """A line a backbone; boards are numbered, in the order of ``summary.board_titles``."""
    columns = build_summary_columns([str(number) for number in range(1, len(summary.board_titles) + 1)])
    lines = tuple((line.label, *format_summary_row(line)) for line in summary.rows)
    numeric = frozenset(place for place, column in enumerate(columns) if column.numeric)
    return TextTable(tuple(column.name for column in columns), lines, numeric)


def format_summary_row(row: SummaryRow) -> tuple[str, ...]:
    """Mean rank, wins, normalised score, boards it is on, and its score on each board."""
    return (
        "not ranked" if row.mean_rank is None else f"{row.mean_rank:.2f}",
        str(row.num_wins),
        NOT_MEASURED if row.mean_normalized_score is None else f"{row.mean_normalized_score:.1f}",
        f"{len(row.cells) - row.num_missing} of {len(row.cells)}",
        *("missing" if cell is None else f"{cell.score:.2f}" for cell in row.cells),
    )


def tabulate_unmatched(unmatched: tuple[UnmatchedResult, ...]) -> TextTable:
    """Published numbers that stand beside none of ours."""
    head = ("task", "backbone", "metric", "reported", "start", "schedule", "why apart", "source")
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
