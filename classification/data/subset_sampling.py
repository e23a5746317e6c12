"""Seeded, stratified draws of training items by their labels: a share of each class, or some shots of it.

Each class is ordered by the SHA-256 of (seed, item number) and its first items are taken. So a draw depends on no
library's random numbers, on labels and seed alone, and draws of one seed are nested: the smaller is part of the larger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from foundation.errors import UserError
from foundation.hash_order import order_by_hash

DRAW_SALT = "bench-draw-1"


class LabeledDataset(Protocol):
    """Items whose classes are known without decoding: ``labels``, in item order."""

    @property
    def labels(self) -> Sequence[int]:
        """Class of each item."""

    def __len__(self) -> int:
        """Number of items."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Item ``index``."""

    def get_preprocessing(self) -> dict[str, Any]:
        """All that makes pixels of an image, as plain data."""


class LabeledSubset:
    """Some items of a split, numbered anew."""

    def __init__(self, dataset: LabeledDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        self.labels = [dataset.labels[member] for member in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.dataset[self.indices[index]], "item": index}

    def get_preprocessing(self) -> dict[str, Any]:
        """As the split's."""
        return self.dataset.get_preprocessing()


def sample_class_fraction(labels: Sequence[int], fraction: float, seed: int) -> list[int]:
    """A share of the items of each class, rounded, at least one.

    Args:
        labels: class of each item.
        fraction: above 0 to 1.
        seed: 0 or above.

    Returns:
        Item numbers, rising.

    >>> sample_class_fraction([0] * 10 + [1] * 30, 0.1, seed=0)
    [0, 22, 29, 30]
    """
    return _take_per_class(labels, seed, lambda _, count: max(1, round(fraction * count)))


def sample_k_shot(labels: Sequence[int], num_shots: int, seed: int, allow_fewer: bool = False) -> list[int]:
    """As many items of each class.

    Args:
        labels: class of each item.
        num_shots: items a class, at least 1.
        seed: 0 or above.
        allow_fewer: take all items of a class that has not as many, instead of raising.

    Returns:
        Item numbers, rising.

    Raises:
        UserError: a class has not as many items.
    """

    def take(label: int, found: int) -> int:
        if found < num_shots and not allow_fewer:
            raise UserError(
                f"class {label} has {found} items and cannot give {num_shots} shots; ask for {found} or fewer"
            )
        return min(found, num_shots)

    return _take_per_class(labels, seed, take)


def _take_per_class(labels: Sequence[int], seed: int, count_to_take: Callable[[int, int], int]) -> list[int]:
    """The first items of each class; ``count_to_take`` says how many, of class and number found."""
    members: dict[int, list[int]] = defaultdict(list)
    for item, label in enumerate(labels):
        members[int(label)].append(item)
    drawn: list[int] = []
    for label, items in sorted(members.items()):
        drawn += order_by_hash(items, f"{DRAW_SALT}:{seed}")[: count_to_take(label, len(items))]
    return sorted(drawn)
