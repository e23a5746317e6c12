"""Summarize all boards of one tier: one row per backbone, one column per board, and what can be said over all boards.

A mean rank is only given over the largest complete block of rows and boards, because a mean over other boards, or a
rank among other rows, is another quantity. In the block, a row has a mid-rank on each board (rows that are equal share
the middle of their places), a mean of these on each task, and the mean over the tasks: a task counts once, however many
settings of it were run. The win rate also covers the rest of the table, pair by pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from foundation.array_types import FloatArray
from results.leaderboard.row_comparison import can_compare_row, compare_rows
from results.leaderboard.summary.complete_block import CompleteBlock, find_largest_block
from results.leaderboard.summary.rank_statistics import (
    FriedmanTest,
    compute_friedman_test,
    compute_kendall_taus,
    compute_mid_ranks,
    compute_tau_intervals,
)
from results.leaderboard.table import Board, BoardRow, list_scopes

MIN_SHARED_BACKBONES = 4
"""Minimum number of backbones that two boards share if their agreement is computed."""

_MIN_TEST_ROWS = 3
"""Minimum number of rows of a Friedman test."""


class SummaryCell(NamedTuple):
    """The score of a backbone on a board.

    Attributes:
        score: the primary metric of the board.
        rank: rank on the board, among all of its rows; ``None`` if it has none.
        is_comparable: whether the score may be compared with the others; see ``can_compare_row``.
        mid_rank: rank among the rows of the complete block; ``None`` outside the block.
    """

    score: float
    rank: int | None
    is_comparable: bool
    mid_rank: float | None = None


class SummaryRow(NamedTuple):
    """One backbone over all boards.

    Attributes:
        backbone: name of the backbone.
        label: the name and how the backbone started.
        cells: one per board. ``None`` if the board has no row with this label, or more than one.
        num_missing: number of boards without a cell.
        num_missing_in_block: number of boards of the complete block on which it cannot be compared; ``None`` if there
            is no block.
        mean_rank: mean over the tasks of the block; ``None`` outside the block.
        is_near_best: whether its mean rank is within the critical difference of the best one.
        win_rate: share of the comparisons that it wins, where a tie counts half; ``None`` if there are none. It is
            compared with each other row on each task that both are on. The boards of one task are averaged first.
        num_comparisons: number of these comparisons.
    """

    backbone: str
    label: str
    cells: tuple[SummaryCell | None, ...]
    num_missing: int
    num_missing_in_block: int | None
    mean_rank: float | None
    is_near_best: bool
    win_rate: float | None
    num_comparisons: int


class SummaryBlock(NamedTuple):
    """The complete block over which the mean ranks are computed.

    Attributes:
        boards: indices of its boards.
        tasks: tasks of its boards.
        num_rows: number of its rows, hidden ones included.
        is_largest: whether no complete block has more cells; if not, the table was too large for trying all.
        num_seed_ordered: number of its boards on which rows are ordered by the score of a single seed.
        friedman: the test over the tasks; ``None`` for two rows.
    """

    boards: tuple[int, ...]
    tasks: tuple[str, ...]
    num_rows: int
    is_largest: bool
    num_seed_ordered: int
    friedman: FriedmanTest | None


class BoardAgreement(NamedTuple):
    """Kendall's tau-b of the scores of two boards over the backbones that they share, with its interval.

    Attributes:
        boards: indices of the two boards.
    """

    boards: tuple[int, int]
    num_backbones: int
    tau: float
    low: float
    high: float


class CrossBoardSummary(NamedTuple):
    """The boards of one scope, with one row per backbone.

    Attributes:
        rows: those of the block by their mean rank, then the others, whose order says nothing about which is better.
        block: ``None`` if no two rows share boards of two tasks.
        agreements: one per pair of boards that share enough backbones.
        ambiguous_labels: labels that several rows of one board share; they have no cell there.
        scope: the boards that are summarized, see ``Board.scope``.
    """

    tier: str
    board_titles: tuple[str, ...]
    rows: tuple[SummaryRow, ...]
    block: SummaryBlock | None
    agreements: tuple[BoardAgreement, ...]
    ambiguous_labels: tuple[str, ...]
    scope: str


def summarize_boards(boards: Sequence[Board]) -> tuple[CrossBoardSummary, ...]:
    """Return one summary for each scope (tier, or finished models) that has two or more boards; none are mixed."""
    # sorted, so that neither the block nor a mean depends on the order of the boards
    by_scope = {
        scope: sorted((board for board in boards if board.scope == scope), key=lambda board: board.board_key)
        for scope in list_scopes(boards)
    }
    return tuple(_summarize_scope(scope, same) for scope, same in by_scope.items() if len(same) > 1)


def _summarize_scope(scope: str, boards: Sequence[Board]) -> CrossBoardSummary:
    # run ids differ from board to board, so the rows of one backbone are matched by their label
    names = {row.label: row.backbone for board in boards for row in board.rows}
    labels = sorted(names)
    columns, ambiguous = zip(*(_index_rows(board) for board in boards), strict=True)
    comparable = [{label: row for label, row in column.items() if can_compare_row(row)} for column in columns]
    tasks = [board.task for board in boards]
    found = find_largest_block([[label in column for column in comparable] for label in labels], tasks)
    mid_ranks, mean_ranks, block = _rank_block(found, labels, boards, comparable) if found else ({}, {}, None)
    near = _find_near_best(mean_ranks, block)
    rates = _compute_win_rates(labels, boards, comparable)
    rows = []
    for label in labels:
        cells = [
            _build_cell(column.get(label), board, mid_ranks.get(label, {}).get(place))
            for place, (board, column) in enumerate(zip(boards, columns, strict=True))
        ]
        rows.append(
            SummaryRow(
                *(names[label], label, tuple(cells)),
                num_missing=cells.count(None),
                num_missing_in_block=sum(label not in comparable[each] for each in block.boards) if block else None,
                mean_rank=mean_ranks.get(label),
                is_near_best=label in near,
                win_rate=rates[label][0],
                num_comparisons=rates[label][1],
            )
        )
    rows.sort(key=_sort_summary_row)
    # boards of one scope have one tier
    tier = boards[0].tier
    return CrossBoardSummary(
        tier,
        tuple(board.title.replace(f" · {tier}", "", 1) for board in boards),
        tuple(rows),
        block,
        _compute_agreements(labels, boards, comparable),
        tuple(sorted(set().union(*ambiguous))),
        scope,
    )


def _index_rows(board: Board) -> tuple[dict[str, BoardRow], set[str]]:
    """Return the rows of a board by label, without the labels that several rows share, and these labels."""
    rows: dict[str, list[BoardRow]] = defaultdict(list)
    for row in board.rows:
        rows[row.label].append(row)
    # two rows with one label (a card that was changed) cannot be distinguished in the summary: show neither
    single = {label: same[0] for label, same in rows.items() if len(same) == 1}
    return single, set(rows) - set(single)


def _rank_block(
    found: CompleteBlock, labels: Sequence[str], boards: Sequence[Board], columns: Sequence[Mapping[str, BoardRow]]
) -> tuple[dict[str, dict[int, float]], dict[str, float], SummaryBlock]:
    """Return the mid-ranks of each label of the block by board, the mean rank of each, and the block with its test."""
    members = [labels[row] for row in found.rows]
    ranks = {}  # of the members, by board
    for place in found.boards:
        rows, board = [columns[place][label] for label in members], boards[place]
        ranks[place] = compute_mid_ranks(compare_rows(rows, board.primary_metric, board.higher_is_better))
    tasks = tuple(dict.fromkeys(boards[place].task for place in found.boards))
    # a task counts once, so its boards are averaged first
    by_task = np.stack([np.mean([ranks[p] for p in found.boards if boards[p].task == task], axis=0) for task in tasks])
    mid_ranks = {label: {p: float(ranks[p][at]) for p in found.boards} for at, label in enumerate(members)}
    mean_ranks = dict(zip(members, by_task.mean(0).tolist(), strict=True))
    block = SummaryBlock(
        found.boards,
        tasks,
        len(members),
        found.is_largest,
        sum(any(columns[place][label].rank is None for label in members) for place in found.boards),
        compute_friedman_test(by_task) if len(members) >= _MIN_TEST_ROWS else None,
    )
    return mid_ranks, mean_ranks, block


def _find_near_best(mean_ranks: Mapping[str, float], block: SummaryBlock | None) -> set[str]:
    """Return the labels whose mean rank is within the critical difference of the best one."""
    if block is None or block.friedman is None:
        return set()
    best = min(mean_ranks.values())
    return {label for label, rank in mean_ranks.items() if rank - best <= block.friedman.critical_difference}


def _compute_win_rates(
    labels: Sequence[str], boards: Sequence[Board], columns: Sequence[Mapping[str, BoardRow]]
) -> dict[str, tuple[float | None, int]]:
    """Return the win rate of each label over all boards, and its number of comparisons."""
    places = {label: place for place, label in enumerate(labels)}
    total, count = (np.zeros((len(labels), len(labels))) for _ in range(2))
    for task in dict.fromkeys(board.task for board in boards):
        results, shared = (np.zeros_like(total) for _ in range(2))
        for board, column in zip(boards, columns, strict=True):
            if board.task == task and column:
                at = np.ix_(*[[places[label] for label in column]] * 2)
                results[at] += compare_rows(list(column.values()), board.primary_metric, board.higher_is_better)
                shared[at] += 1
        np.fill_diagonal(shared, 0)
        # from -1, 0 and 1 to 0, 1/2 and 1; the mean over the boards of the task that both rows are on
        total += np.divide(results, shared, out=-np.ones_like(results), where=shared > 0) / 2 + 0.5
        count += shared > 0
    wins, num = total.sum(1), count.sum(1).astype(int).tolist()
    return {label: (float(wins[p]) / num[p] if num[p] else None, num[p]) for label, p in places.items()}


def _compute_agreements(
    labels: Sequence[str], boards: Sequence[Board], columns: Sequence[Mapping[str, BoardRow]]
) -> tuple[BoardAgreement, ...]:
    """Return the agreement of each pair of boards that share enough backbones and both have differences among them."""
    scores: FloatArray = np.full((len(boards), len(labels)), np.nan)
    for place, (board, column) in enumerate(zip(boards, columns, strict=True)):
        sign = 1 if board.higher_is_better else -1
        scores[place] = [
            sign * column[label].metrics[board.primary_metric] if label in column else np.nan for label in labels
        ]
    present = (~np.isnan(scores)).astype(float)
    taus, counts = compute_kendall_taus(scores), present @ present.T
    first, second = np.nonzero(np.triu((counts >= MIN_SHARED_BACKBONES) & ~np.isnan(taus), 1))
    of_pairs, num_shared = taus[first, second], counts[first, second]
    low, high = compute_tau_intervals(of_pairs, num_shared)
    numbers = zip(*(each.tolist() for each in (first, second, num_shared, of_pairs, low, high)), strict=True)
    return tuple(BoardAgreement((int(i), int(j)), int(n), *ends) for i, j, n, *ends in numbers)


def _build_cell(row: BoardRow | None, board: Board, mid_rank: float | None) -> SummaryCell | None:
    if row is None:
        return None
    return SummaryCell(row.metrics[board.primary_metric], row.rank, can_compare_row(row), mid_rank)


def _sort_summary_row(row: SummaryRow) -> tuple[bool, float, int, str]:
    """Return the sort key of a row: the block by mean rank, then the others by their missing boards, then labels."""
    mean_rank = row.mean_rank
    return (
        mean_rank is None,
        (row.num_missing_in_block or 0) if mean_rank is None else mean_rank,
        row.num_missing,
        row.label,
    )
