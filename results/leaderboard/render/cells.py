"""The cells of tables as plain text, for every renderer that writes them; each escapes them in its own way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from results.leaderboard.cross_board_summary import Cell, Overview
from results.leaderboard.pareto import COSTS, Front, cost_of
from results.leaderboard.table import Board, Row
from results.published.match import Context

NOT_MEASURED = "not measured"

MOST_NOTES = 6
"""Notes on rows that a board shows; JSON has them all."""


class Grid(NamedTuple):
    """A table: its head and its lines; ``numeric``: columns that are set flush right."""

    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


def board_grid(board: Board) -> Grid:
    """A board; columns of published numbers and of throughput only where a row has them."""
    others = [name for name in board.units if name != board.primary]
    reported = any(row.reported for row in board.rows)
    head = ["rank", "backbone", "init", f"{board.primary} ({board.units[board.primary]})"]
    head += ["reported", "difference"] if reported else []
    head += [f"{name} ({board.units[name]})" for name in others]
    head += ["seeds", "parameters", "MACs", "ms", "images/s", "date (UTC)"]
    lines = []
    for row in board.rows:
        line = [rank(row), row.backbone, start(row), score(row, board.primary)]
        line += [reported_value(row), difference(row)] if reported else []
        line += [f"{row.metrics[name]:.2f}" if name in row.metrics else NOT_MEASURED for name in others]
        line += [seeds(row), *costs(row), row.finished[:10] or NOT_MEASURED]
        lines.append(tuple(line))
    left = {"backbone", "init", "difference", "seeds"}
    return Grid(tuple(head), tuple(lines), frozenset(i for i, name in enumerate(head) if name not in left))


def rank(row: Row) -> str:
    """The rank, ``=`` behind it where it is shared."""
    if row.rank is None:
        return "not ranked"
    return f"{row.rank}=" if row.tied_with else str(row.rank)


def start(row: Row) -> str:
    """How the row started; random weights are the floor."""
    return f"{row.start} (floor)" if row.floor else row.start


def score(row: Row, metric: str) -> str:
    """The primary metric with its interval."""
    value = f"{row.metrics[metric]:.2f}"
    return f"{value} ({row.interval.low:.2f} to {row.interval.high:.2f})" if row.interval else value


def seeds(row: Row) -> str:
    """How many seeds, and how far apart their scores are."""
    if row.spread is None:
        return "1"
    return f"{len(row.seeds)} ({row.spread[0]:.2f} to {row.spread[1]:.2f})"


def reported_value(row: Row) -> str:
    """The published number that this row may stand beside."""
    return printed(row.reported.published.value) if row.reported else "none"


def printed(value: float) -> str:
    """A published number with the digits it was printed with, at least one behind the point.

    >>> printed(78.0), printed(42.84)
    ('78.0', '42.84')
    """
    return str(float(value))


def difference(row: Row) -> str:
    """Ours minus the published number, and whether that is within its tolerance."""
    if row.reported is None or row.reported.published.tolerance is None:
        return "none"
    inside = "within" if row.reported.within else "outside"
    return f"{row.reported.difference:+.2f}, {inside} {row.reported.published.tolerance.value:g}"


def costs(row: Row) -> tuple[str, str, str, str]:
    """Parameters, MACs, milliseconds an image, images a second."""
    cost = row.cost
    speed = NOT_MEASURED if cost.images_per_second is None else f"{cost.images_per_second:.0f} (batch {cost.batch})"
    return (
        quantity(cost.parameters),
        quantity(cost.macs),
        NOT_MEASURED if cost.latency_ms is None else f"{cost.latency_ms:.2f}",
        speed,
    )


def quantity(value: float | None) -> str:
    """A count for people: ``5.72 M``.

    >>> quantity(5_717_416), quantity(44_928), quantity(None)
    ('5.72 M', '44.9 k', 'not measured')
    """
    if value is None:
        return NOT_MEASURED
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"


def below(board: Board) -> list[str]:
    """What a reader of a board has to know, a sentence a line."""
    direction = "higher" if board.higher_is_better else "lower"
    lines = [f"{board.primary}: {direction} is better; {board.rows[0].n} items. Key {board.key}."]
    kinds = sorted({f"{100 * row.interval.level:g} %, {row.interval.over}" for row in board.rows if row.interval})
    if kinds:
        lines.append(f"Intervals: {'; '.join(kinds)}.")
    if any(row.tied_with for row in board.rows):
        lines.append("Rows that share a rank (=) are not told apart by the items and seeds measured.")
    if not board.has_floor:
        lines.append("No floor: no run from random weights is on this board.")
    places = sorted({row.cost.where for row in board.rows if row.cost.where})
    if places:
        lines.append(f"Times of the backbone: {'; '.join(places)}.")
    notes = _by_text((row.note, row.label) for row in board.rows if row.note)
    lines += notes[:MOST_NOTES]
    if len(notes) > MOST_NOTES:
        lines.append(f"{len(notes) - MOST_NOTES} more notes on rows: bench table --format json.")
    for row in board.rows:
        if row.reported:
            source = row.reported.published
            remark = f"; {source.remark}" if source.remark else ""
            lines.append(f"Reported {row.label}: {source.read}, {source.schedule}{remark}.")
    tolerances = [row.reported.published.tolerance for row in board.rows if row.reported]
    return lines + _by_text((each.basis, f"tolerance {each.value:g}") for each in dict.fromkeys(tolerances) if each)


def _by_text(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """What is said of several rows, once: ``a, b: text.``"""
    by_text: dict[str, list[str]] = {}
    for text, name in pairs:
        by_text.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}." for text, names in by_text.items()]


def front_line(board: Board, found: Front) -> str:
    """A front in one line, cheapest first."""
    where = f" on {found.where}" if found.where else ""
    unit = board.units[board.primary]
    steps = [f"{row.label} ({_cost(row, found)}, {row.metrics[board.primary]:.2f} {unit})" for row in found.rows]
    return f"against {COSTS[found.cost]}{where}, of {found.measured} rows: {'; '.join(steps)}"


def _cost(row: Row, found: Front) -> str:
    value = cost_of(row, found.cost)
    return f"{value:.2f} ms" if found.cost == "latency" else quantity(value)


def overview_grid(view: Overview) -> Grid:
    """A line a backbone; boards are numbered, in the order of ``view.boards``."""
    head = ("backbone", "mean rank", "wins", "normalised", "boards", *(str(i) for i in range(1, len(view.boards) + 1)))
    lines = []
    for line in view.lines:
        mean_rank = "not ranked" if line.mean_rank is None else f"{line.mean_rank:.2f}"
        normalised = NOT_MEASURED if line.normalised is None else f"{line.normalised:.1f}"
        there = f"{len(line.cells) - line.missing} of {len(line.cells)}"
        lines.append((line.label, mean_rank, str(line.wins), normalised, there, *map(_overview_cell, line.cells)))
    return Grid(head, tuple(lines), frozenset(range(1, len(head))))


def _overview_cell(cell: Cell | None) -> str:
    return "missing" if cell is None else f"{cell.score:.2f}"


def context_grid(context: tuple[Context, ...]) -> Grid:
    """Published numbers that stand beside none of ours."""
    head = ("task", "backbone", "metric", "reported", "start", "schedule", "why apart", "source")
    lines = [
        (p.task, p.backbone, f"{p.metric} ({p.unit})", printed(p.value), p.start, p.schedule, why, p.read)
        for p, why in context
    ]
    return Grid(head, tuple(lines), frozenset({3}))
