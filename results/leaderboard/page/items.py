"""The test items of a page: the outcome of each item by row, the worst and best items, and the confused classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foundation.array_types import FloatArray
from foundation.errors import RecordError
from results.leaderboard.page.budget import ByteBudget
from results.leaderboard.table import Board, BoardRow
from results.statistics.item_files import ItemTable, read_item_table
from results.statistics.per_item_outcomes import ITEM_ID_COLUMNS
from results.statistics.ranking import RowSample, build_row_sample

MAX_ROWS_WITH_ITEMS = 200
MAX_RUNS_WITH_ITEMS = 600
OUTCOME_BYTES = 250_000
EXTREME_BYTES = 100_000
CONFUSION_BYTES = 120_000
MAX_CLASSES = 100
NUM_EXTREMES = 8
NUM_HARDEST_CLASSES = 20
MAX_CELL_CHARACTERS = 60

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""The 64 characters of ``pack_counts``, 6 bits each."""


class ItemReader:
    """Reads the per-item files of a page's rows, best rows of every board first, until a page's limits are reached."""

    def __init__(self, boards: Sequence[Board]) -> None:
        self._samples: dict[tuple[str, ...], RowSample] = {}
        self._chosen = _choose_rows(boards)
        self._outcomes = ByteBudget(OUTCOME_BYTES)
        self._extremes = ByteBudget(EXTREME_BYTES)
        self._confusions = ByteBudget(CONFUSION_BYTES)

    def read_sample(self, board: Board, row: BoardRow) -> RowSample | None:
        """Return the sample of a row, or ``None`` if the row is beyond the limits or its files cannot be used."""
        if row.run_ids not in self._chosen:
            return None
        if row.run_ids not in self._samples:
            try:
                self._samples[row.run_ids] = build_row_sample(row.runs, board.primary_metric)
            except RecordError:  # the row's note says why
                self._chosen = self._chosen - {row.run_ids}
                return None
        return self._samples[row.run_ids]

    def describe_board(self, board: Board) -> dict[str, Any]:
        """Return the items of a board: ``names``, and ``rows`` with ``outcomes``, ``extremes`` and ``confusion``.

        Items whose names are the numbers from 0 have no names in the data.
        """
        found = [self.read_sample(board, row) for row in board.rows]
        samples = [sample for sample in found if sample is not None]
        if not samples:
            return {}
        ids = samples[0].item_ids
        names = None if ids == tuple(map(str, range(len(ids)))) else list(ids)
        with_outcomes = self._outcomes.take_json(names)
        rows = []
        for row, sample in zip(board.rows, found, strict=True):
            entry: dict[str, Any] = {}
            if sample is not None:
                if with_outcomes and sample.item_ids == ids and sample.num_groups is None:
                    outcomes = encode_outcomes(sample)
                    if self._outcomes.take_json(outcomes):
                        entry["outcomes"] = outcomes
                entry |= self._describe_tables(board, row, sample)
            rows.append(entry)
        return {"names": names if with_outcomes else None, "count": len(ids), "rows": rows}

    def _describe_tables(self, board: Board, row: BoardRow, sample: RowSample) -> dict[str, Any]:
        try:
            tables = [read_item_table(folder, record) for folder, record in row.runs]
        except RecordError:
            return {}
        found: dict[str, Any] = {}
        extremes = _find_extremes(tables[0], sample, board)
        if extremes is not None and self._extremes.take_json(extremes):
            found["extremes"] = extremes
        confusion = count_confusions(tables)
        if confusion is not None and self._confusions.take_json(confusion):
            found["confusion"] = confusion
        return found


def _choose_rows(boards: Sequence[Board]) -> frozenset[tuple[str, ...]]:
    """Return the run ids of the rows whose items are read: the first row of each board, then the second, and so on."""
    chosen: set[tuple[str, ...]] = set()
    num_runs = 0
    for place in range(max((len(board.rows) for board in boards), default=0)):
        for board in boards:
            if place < len(board.rows):
                row = board.rows[place]
                num_runs += len(row.runs)
                if len(chosen) >= MAX_ROWS_WITH_ITEMS or num_runs > MAX_RUNS_WITH_ITEMS:
                    return frozenset(chosen)
                chosen.add(row.run_ids)
    return frozenset(chosen)


def encode_outcomes(sample: RowSample) -> dict[str, Any]:
    """Encode the value of each item, as mean over the seeds.

    Returns:
        For items that are right or wrong: ``seeds``, ``bits`` and ``packed`` (see ``pack_counts``), the number of seeds
        that were right. Otherwise ``values`` with four significant digits.
    """
    values: FloatArray = sample.sample.item_values
    seeds = len(values)
    if seeds < 64 and bool(np.isin(values, (0.0, 100.0)).all()):
        bits = math.ceil(math.log2(seeds + 1))
        return {"seeds": seeds, "bits": bits, "packed": pack_counts((values == 100.0).sum(0).tolist(), bits)}
    return {"values": [float(f"{value:.4g}") for value in values.mean(0).tolist()]}


def pack_counts(counts: Sequence[int], bits: int) -> str:
    """Pack small numbers into text, ``6 // bits`` of them per character, the first one in the lowest bits.

    >>> pack_counts([1, 0, 1, 1], bits=1), pack_counts([3, 1], bits=2)
    ('N', 'H')
    """
    per_character = 6 // bits
    return "".join(
        ALPHABET[sum(count << (bits * place) for place, count in enumerate(counts[first : first + per_character]))]
        for first in range(0, len(counts), per_character)
    )


def _find_extremes(table: ItemTable, sample: RowSample, board: Board) -> dict[str, Any] | None:
    """Return the worst and the best items of the first seed's table, with the cells that a reader can use.

    If the table has a column of the board's metric, that decides, as it does for the pictures of the worst and the best
    item: the item's contribution to a score over all items is not what the reader sees. Among items that are right or
    wrong, the ones of which the model was surest come first.
    """
    if sample.num_groups is not None or "draw" in table.columns:
        return None
    ids_column = next((name for name in ITEM_ID_COLUMNS if name in table.columns), next(iter(table.columns)))
    sign = 1.0 if board.higher_is_better else -1.0
    items = [(sign * value, row) for row, value in _list_item_scores(table, sample, ids_column, board.primary_metric)]
    confidence = _parse_confidence(table)
    worst = sorted(items, key=lambda item: (item[0], -confidence[item[1]], item[1]))
    best = sorted(items, key=lambda item: (-item[0], -confidence[item[1]], item[1]))
    others = [name for name in table.columns if name not in (ids_column, "boxes", "item_sha256")]
    shown = [name for name in table.columns if name == ids_column or name in others[:6]]

    def describe_items(chosen: Sequence[tuple[float, int]]) -> list[list[str]]:
        # the name of an item stays whole, even if it is a number: it leads to the item's picture
        return [
            [
                table.columns[name][row] if name == ids_column else _shorten_cell(table.columns[name][row])
                for name in shown
            ]
            for _, row in chosen[:NUM_EXTREMES]
        ]

    return {
        "columns": shown,
        "item": shown.index(ids_column),
        "worst": describe_items(worst),
        "best": describe_items(best),
    }


def _list_item_scores(table: ItemTable, sample: RowSample, ids_column: str, metric: str) -> list[tuple[int, float]]:
    """Return (row of the table, score) of each item that has a score."""
    try:
        scores = [(row, float(cell)) for row, cell in enumerate(table.columns[metric]) if cell]
    except (KeyError, ValueError):
        scores = []
    if scores and all(math.isfinite(score) for _, score in scores):
        return scores
    place_of = {name: place for place, name in enumerate(sample.item_ids)}
    values = sample.sample.item_values[0]
    return [(row, float(values[place_of[name]])) for row, name in enumerate(table.columns[ids_column])]


def _parse_confidence(table: ItemTable) -> list[float]:
    try:
        return [float(cell) for cell in table.columns["confidence"]]
    except (KeyError, ValueError):
        return [0.0] * table.num_rows


def _shorten_cell(cell: str) -> str:
    try:
        number = float(cell)
    except ValueError:
        return cell[:MAX_CELL_CHARACTERS]
    return cell if number.is_integer() else f"{number:.4g}"


def count_confusions(tables: Sequence[ItemTable]) -> dict[str, Any] | None:
    """Count label and prediction over the items of all seeds; ``None`` if the tables do not have both columns.

    Returns:
        ``classes``, and ``counts`` as (class of the label, class of the prediction, items) for counts above 0. Above
        ``MAX_CLASSES`` instead ``hardest``: label, right items and items of the classes with the lowest accuracy.
    """
    if any(not {"label", "prediction"} <= table.columns.keys() or "draw" in table.columns for table in tables):
        return None
    pairs = Counter(
        pair for table in tables for pair in zip(table.columns["label"], table.columns["prediction"], strict=True)
    )
    names = sorted({name for pair in pairs for name in pair}, key=lambda name: (len(name), name))
    if len(names) > MAX_CLASSES:
        return {"hardest": _find_hardest_classes(pairs)}
    if len(names) < 2:
        return None
    places = {name: place for place, name in enumerate(names)}
    counts = sorted([places[label], places[prediction], count] for (label, prediction), count in pairs.items())
    return {"classes": [name[:MAX_CELL_CHARACTERS] for name in names], "counts": counts}


def _find_hardest_classes(pairs: Mapping[tuple[str, str], int]) -> list[tuple[str, int, int]]:
    right, total = Counter[str](), Counter[str]()
    for (label, prediction), count in pairs.items():
        total[label] += count
        right[label] += count if label == prediction else 0
    ordered = sorted(total, key=lambda label: (right[label] / total[label], len(label), label))
    return [(label[:MAX_CELL_CHARACTERS], right[label], total[label]) for label in ordered[:NUM_HARDEST_CLASSES]]
