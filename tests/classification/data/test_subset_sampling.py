"""Draws by labels: stratified, nested, a function of labels and seed alone."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from classification.data.subset_sampling import sample_class_fraction, sample_k_shot
from foundation.errors import UserError

LABELS: list[int] = np.random.default_rng(0).choice(5, 400, p=[0.5, 0.3, 0.15, 0.04, 0.01]).tolist()
COUNTS = Counter(LABELS)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.37, 1.0])
def test_a_share_takes_its_part_of_each_class_and_at_least_one(fraction: float) -> None:
    drawn = sample_class_fraction(LABELS, fraction, 3)
    assert drawn == sorted(set(drawn))
    found = Counter(LABELS[item] for item in drawn)
    assert found == {label: max(1, round(fraction * count)) for label, count in COUNTS.items()}


def test_by_hand() -> None:
    labels = [0, 1, 0, 1, 0]
    order = sorted([0, 2, 4], key=lambda item: hashlib.sha256(f"bench-draw-1:7:{item}".encode()).digest())
    other = sorted([1, 3], key=lambda item: hashlib.sha256(f"bench-draw-1:7:{item}".encode()).digest())
    assert sample_k_shot(labels, 2, 7) == sorted([*order[:2], *other])
    assert sample_class_fraction(labels, 0.5, 7) == sorted([*order[:2], *other[:1]])


def test_draws_of_one_seed_are_nested_and_of_another_differ() -> None:
    small, large = sample_class_fraction(LABELS, 0.1, 0), sample_class_fraction(LABELS, 0.4, 0)
    assert set(small) < set(large)
    assert set(sample_k_shot(LABELS, 1, 0)) < set(sample_k_shot(LABELS, 2, 0))
    assert sample_class_fraction(LABELS, 0.1, 1) != small == sample_class_fraction(LABELS, 0.1, 0)
    assert sample_k_shot(LABELS, 2, 1) != sample_k_shot(LABELS, 2, 0)


def test_a_class_that_cannot_give_the_shots() -> None:
    rare = COUNTS[4]
    with pytest.raises(UserError, match=f"class 4 has {rare} items and cannot give {rare + 1} shots; ask for {rare}"):
        sample_k_shot(LABELS, rare + 1, 0)
    found = Counter(LABELS[item] for item in sample_k_shot(LABELS, rare + 1, 0, allow_fewer=True))
    assert found == {0: rare + 1, 1: rare + 1, 2: rare + 1, 3: rare + 1, 4: rare}


def test_classes_need_not_be_contiguous() -> None:
    assert [[9, 2][item % 2] for item in sample_k_shot([9, 2] * 4, 3, 0)].count(9) == 3
