"""Compare the rows of a board in pairs, for the page's view of two backbones."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from foundation.errors import RecordError, UserError
from results.leaderboard.page.budget import SharedValues
from results.leaderboard.page.items import ItemReader
from results.leaderboard.table import Board, BoardRow
from results.records.identity import compute_digest
from results.statistics import statistics_cache
from results.statistics.comparison import BackboneComparison, compare_row_samples
from results.statistics.ranking import RANKING_VERSION, RowSample

PAIR_LENGTH = 12
"""Entries of a pair, see ``PairComparisons.compare_rows``."""

MAX_COMPARED_ROWS = 40
"""Rows of a board up to which all pairs are compared on the page; for larger boards it names ``bench compare``."""

MAX_PAIRS = 2_000
"""Pairs of all boards together; each takes some milliseconds and about 90 bytes of the page."""

PAIRS_VERSION = 1
"""Increase it whenever ``PairComparisons`` gives something else for the same samples; it is part of the cache key."""


class PairComparisons:
    """Compares rows in pairs until the limit of a page is reached.

    Attributes:
        words: the names of tests and of what an interval covers, which the pairs refer to by index.
    """

    def __init__(self, reader: ItemReader) -> None:
        self.words = SharedValues()
        self._reader = reader
        self._remaining = MAX_PAIRS

    def compare_rows(self, board: Board) -> list[list[Any]] | None:
        """Return one list per pair of rows, or ``None`` if the board has too many rows or the page is full.

        Returns:
            The numbers of both rows on the board, difference, low, high, p-value, index of the test, index of what the
            interval covers, items better with the first, items better with the second, items, and whether items have
            values of their own (0: no, 1: yes, 2: pseudo-values).
        """
        num_pairs = len(board.rows) * (len(board.rows) - 1) // 2
        if not 0 < num_pairs <= self._remaining or len(board.rows) > MAX_COMPARED_ROWS:
            return None
        self._remaining -= num_pairs
        samples = {
            place: sample
            for place, row in enumerate(board.rows)
            if (sample := self._reader.read_sample(board, row)) is not None
        }
        key = _compute_cache_key(board, samples)
        pairs = statistics_cache.load_statistics(key)
        if not _are_pairs(pairs):
            pairs = _compare_samples(board, samples)
            statistics_cache.store_statistics(key, pairs)
        # in the cache, the two texts of a pair stand in full
        return [[*pair[:6], *map(self.words.index_of, pair[6:8]), *pair[8:]] for pair in pairs]


def _compute_cache_key(board: Board, samples: Mapping[int, RowSample]) -> str:
    """Return the digest of what the comparisons depend on; the samples' files were checked when they were read."""
    rows = [
        {
            "place": place,
            "estimates": sample.sample.seed_estimates.tolist(),
            "files": [record.result and record.result.items.sha256 for _, record in board.rows[place].runs],
            "runs": list(board.rows[place].run_ids),
        }
        for place, sample in samples.items()
    ]
    versions = {"page": PAIRS_VERSION, "statistics": RANKING_VERSION}
    return compute_digest({"pairs": versions, "metric": board.primary_metric, "rows": rows})


def _compare_samples(board: Board, samples: Mapping[int, RowSample]) -> list[list[Any]]:
    pairs = []
    for one, other in combinations(samples, 2):
        try:
            found = compare_row_samples((board.rows[one].runs, samples[one]), (board.rows[other].runs, samples[other]))
        except (UserError, RecordError):  # other items, or another statistic: the note of the row says so
            continue
        pairs.append([one, other, *_describe_pair(found)])
    return pairs


def _describe_pair(found: BackboneComparison) -> list[Any]:
    return [
        # more digits than the page displays, so that they are not rounded twice
        *(float(f"{value:.10g}") for value in (found.difference, found.low, found.high, found.p_value)),
        *(found.test_name, found.resampling_unit, len(found.better), len(found.worse), found.num_items),
        0 if found.num_groups else 2 if found.uses_pseudo_values else 1,
    ]


def _are_pairs(content: Any) -> bool:
    """Return whether the content of a cache file is a list of pairs."""
    return isinstance(content, list) and all(isinstance(pair, list) and len(pair) == PAIR_LENGTH for pair in content)


def format_row_argument(row: BoardRow) -> str:
    """Return a row as an argument of ``bench compare``, quoted for a shell: ``vit_nano@random``.

    A finished model is named by its run, since it may have several rows of one start.
    """
    if all(record.is_evaluation for _, record in row.runs):
        # one evaluation is one row, so its id says which
        return shlex.quote(row.run_ids[0])
    start = row.init if row.init in ("random", "card") else row.weights_digest[:8]
    return shlex.quote(f"{row.backbone}@{start}" if start else row.backbone)
