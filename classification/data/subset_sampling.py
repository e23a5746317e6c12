"""Seeded, stratified draws of training items by their labels: a share of each class, or some shots of it.

Each class is ordered by the SHA-256 of (seed, item number) and its first items are taken. So a draw depends on no
library's random numbers, on labels and seed alone, and draws of one seed are nested: the smaller is part of the larger.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from foundation.errors import UserError


class Labelled(Protocol):
    """Items whose classes are known without decoding: ``labels``, in item order."""

    @property
    def labels(self) -> Sequence[int]:
        """Class of each item."""

    def __len__(self) -> int:
        """Number of items."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Item ``index``."""

    def preprocessing(self) -> dict[str, Any]:
        """All that makes pixels of an image, as plain data."""


class Drawn:
    """Some items of a split, numbered anew."""

    def __init__(self, items: Labelled, members: Sequence[int]) -> None:
        self.items = items
        self.members = members
        self.labels = [items.labels[member] for member in members]

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.items[self.members[index]], "item": index}

    def preprocessing(self) -> dict[str, Any]:
        """As the split's."""
        return self.items.preprocessing()


def share(labels: Sequence[int], fraction: float, seed: int) -> list[int]:
    """A share of the items of each class, rounded, at least one.

    Args:
        labels: class of each item.
        fraction: above 0 to 1.
        seed: 0 or above.

    Returns:
        Item numbers, rising.

    >>> share([0] * 10 + [1] * 30, 0.1, seed=0)
    [0, 22, 29, 30]
    """
    return _first(labels, seed, lambda _, count: max(1, round(fraction * count)))


def shots(labels: Sequence[int], count: int, seed: int, fewer: bool = False) -> list[int]:
    """As many items of each class.

    Args:
        labels: class of each item.
        count: items a class, at least 1.
        seed: 0 or above.
        fewer: take all items of a class that has not as many, instead of raising.

    Returns:
        Item numbers, rising.

    Raises:
        UserError: a class has not as many items.
    """

    def take(label: int, found: int) -> int:
        if found < count and not fewer:
            raise UserError(f"class {label} has {found} items and cannot give {count} shots; ask for {found} or fewer")
        return min(found, count)

    return _first(labels, seed, take)


def _first(labels: Sequence[int], seed: int, take: Callable[[int, int], int]) -> list[int]:
    """The first items of each class; ``take`` says how many, of class and number found."""
    members: dict[int, list[int]] = defaultdict(list)
    for item, label in enumerate(labels):
        members[int(label)].append(item)
    drawn: list[int] = []
    for label, items in sorted(members.items()):
        drawn += sorted(items, key=lambda item: _order(seed, item))[: take(label, len(items))]
    return sorted(drawn)


def _order(seed: int, item: int) -> bytes:
    return hashlib.sha256(f"bench-draw-1:{seed}:{item}".encode()).digest()
