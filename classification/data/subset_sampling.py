"""Draw training items class by class: a fraction of each class, or a number of shots per class.

Each class is ordered by the SHA-256 of (seed, item index), and its first items are taken. This has two advantages. A
draw depends on the labels and the seed only, not on any library's random numbers. And draws with the same seed are
nested: a smaller draw is part of a larger one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from foundation.errors import UserError
from foundation.hash_order import order_by_hash

DRAW_SALT = "bench-draw-1"


class LabeledDataset(Protocol):
    """A data set whose labels are known without decoding any image."""

    @property
    def labels(self) -> Sequence[int]:
        """Class index of each item, in item order."""

    def __len__(self) -> int:
        """Return the number of items."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return item ``index``."""

    def get_preprocessing(self) -> dict[str, Any]:
        """Return everything that determines the pixels of an image, as plain data."""


class LabeledSubset:
    """Some items of a data set, numbered from 0 again.

    Args:
        dataset: the complete data set.
        indices: indices of the chosen items in ``dataset``.
    """

    def __init__(self, dataset: LabeledDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        self.labels = [dataset.labels[member] for member in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        # the item's own index would leave gaps, and the check that every item is scored once counts from 0
        return {**self.dataset[self.indices[index]], "item": index}

    def get_preprocessing(self) -> dict[str, Any]:
        """Return the preprocessing of the complete data set."""
        return self.dataset.get_preprocessing()


def sample_class_fraction(labels: Sequence[int], fraction: float, seed: int) -> list[int]:
    """Draw a fraction of the items of each class, rounded, but at least one item.

    Args:
        labels: class index of each item.
        fraction: fraction of each class, above 0 and up to 1.
        seed: seed of the draw, 0 or above.

    Returns:
        Indices of the drawn items, ascending.

    >>> sample_class_fraction([0] * 10 + [1] * 30, 0.1, seed=0)
    [0, 22, 29, 30]
    """
    return _take_per_class(labels, seed, lambda _, count: _count_fraction(count, fraction))


def count_class_fraction(class_counts: Iterable[int], fraction: float) -> int:
    """Return how many items ``sample_class_fraction`` draws.

    Args:
        class_counts: number of items of each class.
        fraction: fraction of each class, above 0 and up to 1.

    >>> count_class_fraction([10, 30, 0], 0.1)
    4
    """
    return sum(_count_fraction(count, fraction) for count in class_counts if count)


def _count_fraction(count: int, fraction: float) -> int:
    return max(1, round(fraction * count))


def sample_k_shot(labels: Sequence[int], num_shots: int, seed: int, allow_fewer: bool = False) -> list[int]:
    """Draw the same number of items from each class.

    Args:
        labels: class index of each item.
        num_shots: number of items per class, at least 1.
        seed: seed of the draw, 0 or above.
        allow_fewer: take all items of a class that has fewer than ``num_shots``, instead of raising an error.

    Returns:
        Indices of the drawn items, ascending.

    Raises:
        UserError: a class has fewer than ``num_shots`` items.
    """

    def take(label: int, found: int) -> int:
        if found < num_shots and not allow_fewer:
            raise UserError(
                f"class {label} has {found} items and cannot give {num_shots} shots; ask for {found} or fewer"
            )
        return min(found, num_shots)

    return _take_per_class(labels, seed, take)


def _take_per_class(labels: Sequence[int], seed: int, count_to_take: Callable[[int, int], int]) -> list[int]:
    """Take the first items of each class in the order of their hash.

    Args:
        labels: class index of each item.
        seed: seed of the draw.
        count_to_take: returns how many items to take, from the class index and the number of items of the class.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for item, label in enumerate(labels):
        members[int(label)].append(item)
    drawn: list[int] = []
    for label, items in sorted(members.items()):
        drawn += order_by_hash(items, f"{DRAW_SALT}:{seed}")[: count_to_take(label, len(items))]
    # ascending, so that the order of a draw, and with it the order of a training, does not depend on the hashes
    return sorted(drawn)
