"""Format the cells and notes of tables as plain text. Each renderer escapes the text for its own format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from foundation.plural import format_count
from results.leaderboard.pareto import COST_LABELS, ParetoFront, get_row_cost
from results.leaderboard.render.columns import build_board_columns, build_summary_columns
from results.leaderboard.summary.cross_board_summary import CrossBoardSummary, SummaryCell, SummaryRow
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
    columns = build_board_columns(board)
    headers = [columns.rank, columns.backbone, columns.start, columns.score, *columns.published]
    headers += [*columns.other_metrics, columns.seeds, *columns.costs, columns.date]
    lines = []
    for row in board.rows:
        line = [format_rank(row), row.name, format_start(row), format_score(row, board.primary_metric)]
        line += [format_reported_value(row), format_difference(row)] if board.has_published else []
        # a run of an earlier version of the task may lack a metric
        line += [f"{row.metrics[name]:.2f}" if name in row.metrics else NOT_MEASURED for name in board.shown_metrics]
        line += [format_seeds(row), *format_costs(row), row.finished_at[:10] or NOT_MEASURED]
        lines.append(tuple(line))
    head = tuple(header.name for header in headers)
    left = {"backbone", "init", "difference", "seeds"}  # words, or numbers followed by words
    return TextTable(head, tuple(lines), frozenset(i for i, name in enumerate(head) if name not in left))


def format_rank(row: BoardRow) -> str:
    """Return the rank, followed by ``=`` if it is shared."""
    if row.rank is None:
        return "not ranked"
    return f"{row.rank}=" if row.tied_with else str(row.rank)


def format_start(row: BoardRow) -> str:
    """Return how the row started; a start from random weights is marked as the floor."""
    return f"{row.start_note} (floor)" if row.is_random_baseline else row.start_note


def format_score(row: BoardRow, metric: str) -> str:
    """Return a metric with the row's interval."""
    value = f"{row.metrics[metric]:.2f}"
    return f"{value} ({format_range(row.interval.low, row.interval.high)})" if row.interval else value


def format_range(low: float, high: float) -> str:
    """Return the two ends of a range as text.

    >>> format_range(1.0, 2.345)
    '1.00 to 2.35'
    """
    return f"{low:.2f} to {high:.2f}"


def format_seeds(row: BoardRow) -> str:
    """Return the number of seeds and the range of their scores."""
    if row.seed_range is None:
        return "1"
    return f"{len(row.seeds)} ({format_range(*row.seed_range)})"


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
    """Return our number minus the published one, and the verdict on its tolerance: ``-0.20, within 0.3``."""
    return ", ".join(filter(None, split_difference(row)))


def split_difference(row: BoardRow) -> tuple[str, str]:
    """Return the two parts of ``format_difference``: the difference and the verdict."""
    if row.published_comparison is None or row.published_comparison.published.tolerance is None:
        return "none", ""
    inside = "within" if row.published_comparison.is_within_tolerance else "outside"
    tolerance = row.published_comparison.published.tolerance.value
    return f"{row.published_comparison.difference:+.2f}", f"{inside} {tolerance:g}"


def format_costs(row: BoardRow) -> tuple[str, str, str, str]:
    """Return parameters, MACs, milliseconds per image and images per second."""
    cost = row.cost
    speed, batch = split_throughput(row)
    return (
        format_quantity(cost.parameters),
        format_quantity(cost.macs),
        NOT_MEASURED
        if cost.latency_ms is None
        else f"{cost.latency_ms:.2f}{' (busy machine)' if cost.is_busy else ''}",
        f"{speed} ({batch})" if batch else speed,
    )


def split_throughput(row: BoardRow) -> tuple[str, str]:
    """Return images per second and the batch size of the measurement; the latter is "" if nothing was measured.

    The batch size is followed by a mark if the machine was busy with something else.
    """
    if row.cost.images_per_second is None:
        return NOT_MEASURED, ""
    mark = ", busy machine" if row.cost.is_throughput_busy else ""
    return f"{row.cost.images_per_second:.0f}", f"batch {row.cost.batch_size}{mark}"


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
        # from the best only: a noisy best row may hold two rows together that do differ from each other
        lines.append("Rows that share a rank (=) do not differ significantly from the best of them.")
        if any(row.tied_with and len(row.seeds) == 2 for row in board.rows):
            lines.append("Two seeds rarely show a difference, the less the more rows there are: run three or more.")
    if board.metric_conflict:
        lines.append(f"{board.metric_conflict}.")
    if not board.has_random_baseline and not board.is_evaluation:
        lines.append("No floor: this board has no run from random weights.")
    lines += _build_timing_notes(board)
    if board.version_differences:
        lines.append(f"The rows were made with different versions: {board.version_differences}.")
    lines += [f"Not the official data: {sentence}." for sentence in board.deviations]
    lines += [f"Test items in the training data, allowed by the user: {sentence}." for sentence in board.duplicates]
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


def _build_timing_notes(board: Board) -> list[str]:
    """Return where and when the backbones were timed, and how to renew what was timed on a busy machine."""
    timed: dict[str, list[BoardRow]] = {}
    for row in board.rows:
        if row.cost.timing_setup:
            timed.setdefault(row.cost.timing_setup, []).append(row)
    places = [
        f"{setup} ({_format_days(sorted(row.cost.timed_at[:10] for row in rows))})"
        # of two setups, a reader has to know which row is of which
        + (f": {', '.join(dict.fromkeys(row.label for row in rows))}" if len(timed) > 1 else "")
        for setup, rows in sorted(timed.items())
    ]
    timed_what = (
        "Each model, in its own runtime and precision, timed on" if board.is_evaluation else "Backbone timed on"
    )
    lines = [f"{timed_what}: {'; '.join(places)}."] if places else []
    if len(timed) > 1:
        lines.append("Times of different setups are not comparable with each other.")
    # rows of one backbone share its timing and its renewal
    renewals: dict[str, list[str]] = {}
    for row in board.rows:
        if row.cost.renewal:
            renewals.setdefault(row.cost.renewal, []).append(row.label)
    # no full stop after a command, which is copied from here
    lines += [
        f"Timed on a busy machine, hence not compared: {', '.join(labels)}. Measure again when it is quiet: {renewal}"
        for renewal, labels in list(renewals.items())[:MAX_NOTES]
    ]
    if len(renewals) > MAX_NOTES:
        lines.append(f"{len(renewals) - MAX_NOTES} more rows to renew are in the output of bench table --format json.")
    return lines


def _format_days(days: Sequence[str]) -> str:
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


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
    scores = [f"{row.metrics[board.primary_metric]:.2f} {unit}".strip() for row in front.rows]
    steps = [
        f"{row.label} ({_format_cost(row, front)}, {score})" for row, score in zip(front.rows, scores, strict=True)
    ]
    left_off = [
        f"{count} {why}"
        for count, why in ((front.num_busy, "of a busy machine"), (front.num_other_setups, "of other setups"))
        if count
    ]
    counts = f"{format_count(front.num_measured, 'row')} measured" + (
        f", left off: {', '.join(left_off)}" if left_off else ""
    )
    return f"against {COST_LABELS[front.cost]}{where} ({counts}): {'; '.join(steps)}"


def _format_cost(row: BoardRow, front: ParetoFront) -> str:
    value = get_row_cost(row, front.cost)
    return f"{value:.2f} ms" if front.cost == "latency" else format_quantity(value)


def tabulate_summary(summary: CrossBoardSummary) -> TextTable:
    """Return a summary as a table with one row per backbone.

    The columns of the boards are numbered in the order of ``summary.board_titles``, since the titles are long.
    """
    columns = build_summary_columns([str(number) for number in range(1, len(summary.board_titles) + 1)])
    lines = tuple((line.label, *format_summary_row(line)) for line in summary.rows)
    numeric = frozenset(place for place, column in enumerate(columns) if column.numeric)
    return TextTable(tuple(column.name for column in columns), lines, numeric)


def format_summary_row(row: SummaryRow) -> tuple[str, ...]:
    """Return mean rank, win rate, number of boards, and the score on each board."""
    return (
        _format_mean_rank(row),
        "no comparison" if row.win_rate is None else f"{100 * row.win_rate:.1f} % of {row.num_comparisons}",
        f"{len(row.cells) - row.num_missing} of {len(row.cells)}",
        *(_format_summary_cell(cell) for cell in row.cells),
    )


def _format_mean_rank(row: SummaryRow) -> str:
    if row.mean_rank is not None:
        return f"{row.mean_rank:.2f}=" if row.is_near_best else f"{row.mean_rank:.2f}"
    missing = f", misses {row.num_missing_in_block}" if row.num_missing_in_block else ""
    return f"not comparable{missing}"


def _format_summary_cell(cell: SummaryCell | None) -> str:
    if cell is None:
        return "missing"
    return f"{cell.score:.2f}" if cell.is_comparable else f"{cell.score:.2f} (not compared)"


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
