"""Build the table at the top of the page: backbones by task, with one table per tier and rows grouped by size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from results.leaderboard.cost_columns import CostSummary
from results.leaderboard.render.cells import NOT_MEASURED, format_published_value, format_quantity
from results.leaderboard.row_comparison import can_compare_row, orient_scores
from results.leaderboard.table import Board, BoardRow, list_scopes

SIZE_CLASSES: tuple[tuple[float, str], ...] = (
    (1e6, "below 1 M parameters"),
    (3e6, "1 to 3 M"),
    (8e6, "3 to 8 M"),
    (30e6, "8 to 30 M"),
    (100e6, "30 to 100 M"),
    (float("inf"), "100 M and more"),
)
"""Upper end (excluded) and name of each class of sizes, by the parameters of the backbone."""

UNKNOWN_SIZE = "size not measured"

MAX_QUIET_RATIO = 1.1
"""A backbone's cost is written as one number if its boards differ by less than this factor."""


class CostCell(NamedTuple):
    """A cost of a backbone over its boards; ``sort_value`` is the lowest value, ``tip`` says what differs."""

    text: str
    sort_value: float | None
    tip: str = ""


class ScoreCell(NamedTuple):
    """The score of a backbone on a board.

    Attributes:
        text, sort_value: the score.
        board, row: numbers that lead the script to the row's data.
        mark: ``best``, ``tied`` (for the best), ``highest`` or ``lowest`` (of rows with one seed), or "".
        is_one_seed: whether this cell has to say that it is a single training run.
        published: the comparable published number, or "".
        num_rows: number of rows of the board with this label; the first one is displayed.
    """

    text: str
    sort_value: float
    board: int
    row: int
    mark: str
    is_one_seed: bool
    published: str
    num_rows: int


class OverviewColumn(NamedTuple):
    """A board as a column: its number, task, protocol with settings, metric, and whether all its rows have one seed."""

    board: int
    task: str
    title: str
    settings: str
    metric: str
    is_one_seed: bool


class OverviewRow(NamedTuple):
    """A backbone with one start: its label, costs (in the order of ``COST_COLUMNS``), and one cell per column."""

    label: str
    backbone: str
    start: str
    is_floor: bool
    costs: tuple[CostCell, ...]
    cells: tuple[ScoreCell | None, ...]


class OverviewTable(NamedTuple):
    """The backbones of one scope by its boards.

    Attributes:
        scope: see ``Board.scope``; two scopes never share a table.
        columns: the boards, those of one task next to each other.
        tasks: (task, number of its columns).
        groups: (size class, rows), small backbones first.
        timing_setup: where the timings of the table were taken; timings of other places are left out of it.
        has_published: whether a row has a comparable published number.
    """

    scope: str
    columns: tuple[OverviewColumn, ...]
    tasks: tuple[tuple[str, int], ...]
    groups: tuple[tuple[str, tuple[OverviewRow, ...]], ...]
    timing_setup: str
    has_published: bool


COST_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("parameters", "parameters", "of the backbone, with its classifier if it was trained with one"),
    ("macs", "MACs", "multiply-accumulates of the backbone per image, attention products included"),
    ("latency", "ms", "median milliseconds of the backbone for one image"),
    ("throughput", "images/s", "images per second in a batch"),
)
"""Key, name and explanation of each cost."""


def build_overview_tables(boards: Sequence[Board]) -> list[OverviewTable]:
    """Return one table per scope (see ``Board.scope``): the tier with the longest schedule first, then the others."""
    sizes = map_sizes(boards)
    return [
        _build_table(scope, [(n, board) for n, board in enumerate(boards) if board.scope == scope], sizes)
        for scope in list_scopes(boards)
    ]


def map_sizes(boards: Iterable[Board]) -> dict[str, int | None]:
    """Return the parameters of each backbone by its label: the smallest count, that of the network without a head."""
    found: dict[str, int | None] = {}
    for row in (row for board in boards for row in board.rows):
        counts = [count for count in (found.get(row.label), row.cost.parameters) if count is not None]
        found[row.label] = min(counts, default=None)
    return found


def classify_size(parameters: int | None) -> int:
    """Return the index of a size class in ``SIZE_CLASSES``; the index after the last one means not measured."""
    if parameters is None:
        return len(SIZE_CLASSES)
    return next(place for place, (end, _) in enumerate(SIZE_CLASSES) if parameters < end)


def name_size_class(index: int) -> str:
    """Return the name of a size class."""
    return SIZE_CLASSES[index][1] if index < len(SIZE_CLASSES) else UNKNOWN_SIZE


def has_one_seed(row: BoardRow) -> bool:
    """Return whether a row is a single training run, so that nothing is known about other seeds."""
    if all(record.is_evaluation for _, record in row.runs):
        return False  # nothing was trained, so there is no seed that another training could have
    # several draws of the training images in one run count as seeds
    return len(row.seeds) == 1 and not (row.interval and row.interval.resampling_unit.startswith("draws"))


def _build_table(scope: str, numbered: Sequence[tuple[int, Board]], sizes: dict[str, int | None]) -> OverviewTable:
    by_label: dict[str, dict[int, list[tuple[int, BoardRow]]]] = defaultdict(lambda: defaultdict(list))
    for number, board in numbered:
        for place, row in enumerate(board.rows):
            by_label[row.label][number].append((place, row))
    setup = _find_usual_setup([row for _, board in numbered for row in board.rows])
    ordered = sorted(by_label, key=lambda label: (classify_size(sizes[label]), sizes[label] or 0, label))
    groups = []
    for size, labels in groupby(ordered, key=lambda label: classify_size(sizes[label])):
        rows = tuple(_build_row(label, by_label[label], numbered, setup) for label in labels)
        groups.append((name_size_class(size), rows))
    columns = tuple(_build_column(number, board) for number, board in numbered)
    tasks = tuple((task, len(list(same))) for task, same in groupby(columns, key=lambda column: column.task))
    return OverviewTable(scope, columns, tasks, tuple(groups), setup, any(board.has_published for _, board in numbered))


def _build_column(number: int, board: Board) -> OverviewColumn:
    unit = board.units[board.primary_metric]
    metric = f"{board.primary_metric} {unit}".strip() + ("" if board.higher_is_better else ", lower is better")
    settings = " · ".join(filter(None, (", ".join(board.departures), board.settings)))
    return OverviewColumn(
        number, board.task, board.protocol, settings, metric, all(has_one_seed(row) for row in board.rows)
    )


def _build_row(
    label: str,
    places: dict[int, list[tuple[int, BoardRow]]],
    numbered: Sequence[tuple[int, Board]],
    setup: str,
) -> OverviewRow:
    rows = [row for same in places.values() for _, row in same]
    cells = tuple(
        _build_score_cell(number, board, places[number]) if places.get(number) else None for number, board in numbered
    )
    first = rows[0]
    return OverviewRow(
        label, first.name, first.start_note, first.is_random_baseline, _build_cost_cells(rows, setup), cells
    )


def _build_score_cell(number: int, board: Board, same: Sequence[tuple[int, BoardRow]]) -> ScoreCell:
    place, row = same[0]
    score = row.metrics[board.primary_metric]
    alone = has_one_seed(row)
    published = row.published_comparison
    return ScoreCell(
        text=f"{score:.2f}",
        sort_value=score,
        board=number,
        row=place,
        mark=find_mark(board, row),
        is_one_seed=alone and not all(has_one_seed(other) for other in board.rows),
        published=format_published_value(published.published.value) if published else "",
        num_rows=len(same),
    )


def find_mark(board: Board, row: BoardRow) -> str:
    """Return how a row is marked in the overview.

    ``best`` and ``tied`` are claims about other seeds as well, so only rows with several seeds get them, and only if
    the claim was tested: another row has a rank, and no row without one scored better. Among rows with one seed, the
    mark names what can be seen: the highest (or lowest) score.
    """
    if len(board.rows) < 2:
        return ""
    if not has_one_seed(row):
        if row.rank != 1 or sum(other.rank is not None for other in board.rows) < 2:
            return ""
        untested = [other for other in board.rows if other.rank is None and can_compare_row(other)]
        own, *others = orient_scores([row, *untested], board.primary_metric, board.higher_is_better).tolist()
        return "" if max(others, default=own) > own else "tied" if row.tied_with else "best"
    if any(not has_one_seed(other) for other in board.rows):
        return ""
    scores = [other.metrics[board.primary_metric] for other in board.rows]
    top = max(scores) if board.higher_is_better else min(scores)
    if row.metrics[board.primary_metric] != top or scores.count(top) == len(scores):
        return ""
    return "highest" if board.higher_is_better else "lowest"


def _find_usual_setup(rows: Sequence[BoardRow]) -> str:
    """Return the setup in which most backbones were timed."""
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.cost.timing_setup:
            labels[row.cost.timing_setup].add(row.label)
    return min(labels, key=lambda setup: (-len(labels[setup]), setup), default="")


def _build_cost_cells(rows: Sequence[BoardRow], setup: str) -> tuple[CostCell, ...]:
    costs = [row.cost for row in rows]
    here = [cost for cost in costs if cost.timing_setup == setup]
    return (
        _build_span([cost.parameters for cost in costs], format_quantity),
        _build_span([cost.macs for cost in costs], format_quantity),
        _build_timed_cell(costs, [(cost.latency_ms, cost.is_busy) for cost in here], lambda value: f"{value:.2f}"),
        _build_timed_cell(
            costs, [(cost.images_per_second, cost.is_throughput_busy) for cost in here], lambda value: f"{value:.0f}"
        ),
    )


def _build_timed_cell(
    costs: Sequence[CostSummary], here: Sequence[tuple[float | None, bool]], format_value: Callable[[float], str]
) -> CostCell:
    """Return the cell of a timing.

    Args:
        costs: all costs of the backbone.
        here: value and whether the machine was busy, of the timings in the setup of the column.
        format_value: formats a value.
    """
    quiet = [value for value, is_busy in here if not is_busy]
    if any(value is not None for value in quiet) or not any(cost.timing_setup for cost in costs):
        return _build_span(quiet, format_value)
    if not here:
        return CostCell("elsewhere", None, "timed on another machine or runtime; see its boards")
    if all(value is None for value, _ in here):
        return CostCell(NOT_MEASURED, None)
    renewal = next((cost.renewal for cost in costs if cost.renewal), "")
    return CostCell("busy machine", None, ". Measure again: ".join(filter(None, ("timed on a busy machine", renewal))))


def _build_span(values: Sequence[float | None], format_value: Callable[[float], str]) -> CostCell:
    """Return the lowest value, and the highest one as well if it is clearly larger."""
    measured = [value for value in values if value is not None]
    if not measured:
        return CostCell(NOT_MEASURED, None)
    low, high = format_value(min(measured)), format_value(max(measured))
    # a classifier of ten classes or the noise of a timing is no news; another input size is
    if low == high or max(measured) <= MAX_QUIET_RATIO * min(measured):
        return CostCell(low, min(measured))
    number, _, unit = low.partition(" ")
    # a unit that both ends share is written once
    short = number if unit == high.partition(" ")[2] else low
    return CostCell(
        f"{short} to {high}",
        min(measured),
        "lowest and highest of its boards, which differ in input size or classifier",
    )
