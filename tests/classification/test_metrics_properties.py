"""Accuracies for any labels: bounds, order, and a second computation item by item."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classification.metrics import ScoredItem, compute_accuracies, compute_mean_per_class, compute_top1, rank_true_class
from foundation.errors import IncompleteError
from tests.property_settings import FEW

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)
SCORES = st.lists(st.integers(0, 8).map(lambda number: number / 8), min_size=6, max_size=6)


@FEW
@given(PAIRS)
def test_accuracies_are_those_of_a_plain_count(pairs: list[tuple[int, int]]) -> None:
    labels, found = (np.asarray(part) for part in zip(*pairs, strict=True))
    top1, mean = compute_top1(labels, found), compute_mean_per_class(labels, found)
    assert top1 == pytest.approx(100 * sum(a == b for a, b in pairs) / len(pairs))
    recalls = [
        100 * sum(a == b for a, b in pairs if a == each) / sum(a == each for a, _ in pairs)
        for each in set(labels.tolist())
    ]
    assert mean == pytest.approx(sum(recalls) / len(recalls))
    assert min(recalls) - 1e-9 <= mean <= max(recalls) + 1e-9 and 0 <= mean <= 100
    assert compute_top1(labels[::-1], found[::-1]) == top1
    assert compute_mean_per_class(labels[::-1], found[::-1]) == pytest.approx(mean)
    assert compute_top1(labels, labels) == compute_mean_per_class(labels, labels) == 100


@FEW
@given(st.lists(st.tuples(st.integers(0, 5), SCORES), min_size=1, max_size=20))
def test_ranks(items: list[tuple[int, list[float]]]) -> None:
    labels, scores = np.asarray([label for label, _ in items]), np.asarray([row for _, row in items])
    ranks = rank_true_class(labels, scores)
    for rank, (label, row) in zip(ranks, items, strict=True):
        order = sorted(range(6), key=lambda each: (-row[each], each))
        assert rank == order.index(label)
    assert ((ranks == 0) == (scores.argmax(1) == labels)).all(), "rank 0 is what argmax answers"


@FEW
@given(PAIRS, st.randoms(use_true_random=False))
def test_rows_in_any_order(pairs: list[tuple[int, int]], random: object) -> None:
    rows = [ScoredItem(item, a, b, 0.5, 0 if a == b else 1 + item % 5) for item, (a, b) in enumerate(pairs)]
    scores = compute_accuracies(rows, len(rows))
    assert compute_accuracies(rows[::-1], len(rows)) == scores
    assert all(0 <= value <= 100 for value in scores.values())
    for wrong in (rows[1:], [*rows, rows[0]], [*rows[1:], rows[-1]]):
        if sorted(row.item for row in wrong) != list(range(len(rows))):
            with pytest.raises(IncompleteError):
                compute_accuracies(wrong, len(rows))
