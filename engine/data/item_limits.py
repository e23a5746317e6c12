"""Take a fixed part of the items of every split, so that a tier such as ``smoke`` proves its path in seconds.

The part follows from the limit and the labels alone: no seed and no random numbers, so that runs of one board are
scored on the same items. Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from engine.recipe import ProtocolSettings
from engine.task import DataReport

RecipeT = TypeVar("RecipeT", bound=ProtocolSettings)


def spread_indices(count: int, max_items: int | None) -> Sequence[int]:
    """Return the items that a limit keeps where items have no label: evenly spaced ones, ascending.

    Args:
        count: number of items.
        max_items: the limit; ``None`` keeps all.

    >>> list(spread_indices(10, 4)), list(spread_indices(3, 4))
    ([0, 2, 5, 7], [0, 1, 2])
    """
    if max_items is None or count <= max_items:
        return range(count)
    # a set is often sorted by class or category, of which the first items would show only one
    return [item * count // max_items for item in range(max_items)]


def balance_indices(labels: Sequence[int], max_items: int | None) -> Sequence[int]:
    """Return the items that a limit keeps where items have labels: equally many of each class, ascending.

    Where the limit is below the number of classes, it keeps the first classes, in every split the same ones: a
    classifier must know the classes that it is tested on.

    Args:
        labels: class index of each item, from 0.
        max_items: the limit; ``None`` keeps all.

    >>> list(balance_indices([0, 0, 0, 1, 1, 2], 4)), list(balance_indices([0, 0, 1, 2], 2))
    ([0, 1, 3, 5], [0, 2])
    """
    if max_items is None or len(labels) <= max_items:
        return range(len(labels))
    counts = Counter(int(label) for label in labels)
    quota = _share_evenly([counts.get(label, 0) for label in range(max(counts) + 1)], max_items)
    kept: list[int] = []
    for item, label in enumerate(labels):
        if label < len(quota) and quota[label]:
            quota[label] -= 1
            kept.append(item)
    return kept


def apply_item_limit(recipe: RecipeT, data: DataReport) -> tuple[RecipeT, DataReport]:
    """Return the recipe and the report of the items that its limit keeps, with which a run is planned.

    A limit that every split stays within is taken out of the recipe: it changes nothing, so it must not change an id.

    Args:
        recipe: the resolved recipe.
        data: the report on the complete data.
    """
    limited = limit_report(data, recipe.max_items)
    if limited.splits == data.splits:
        return recipe.model_copy(update={"max_items": None}), data
    return recipe, limited


def limit_report(data: DataReport, max_items: int | None) -> DataReport:
    """Return a report with the number of items that a limit keeps of each split and class.

    Args:
        data: the report on the complete data.
        max_items: the limit; ``None`` keeps all.
    """
    if max_items is None:
        return data
    classes = {
        split: dict(zip(counts, _share_evenly(list(counts.values()), max_items), strict=False))
        for split, counts in data.class_counts.items()
        if data.splits[split] > max_items
    }
    splits = {
        split: sum(classes[split].values()) if split in classes else min(count, max_items)
        for split, count in data.splits.items()
    }
    return replace(data, splits=splits, class_counts={**data.class_counts, **classes})


def limit_test_items(columns: Mapping[str, Sequence[object]], recipe: object) -> Mapping[str, Sequence[object]]:
    """Return the rows of ``Task.list_test_items`` that a recorded recipe keeps, numbered as the run numbers them.

    Args:
        columns: the items of the complete test split.
        recipe: ``config["recipe"]`` of a record, which may be anything.
    """
    max_items, max_frames = (read_limit(recipe, name) for name in ("max_items", "max_frames"))
    count = len(next(iter(columns.values()), ()))
    kept = spread_indices(count, max_items)
    if "label" in columns:
        kept = balance_indices([int(str(label)) for label in columns["label"]], max_items)
    limited: dict[str, Sequence[object]] = {name: [cells[item] for item in kept] for name, cells in columns.items()}
    if "item" in limited and len(kept) < count:
        limited["item"] = range(len(kept))
    if "frames" in limited and max_frames is not None:
        limited["frames"] = [min(int(str(frames)), max_frames) for frames in limited["frames"]]
    return limited


def mark_limit(fingerprint: str, max_items: int) -> str:
    """Return the fingerprint of the part that a limit keeps, 64 hexadecimal digits; caches of features are keyed by it.

    Args:
        fingerprint: fingerprint of the complete data.
        max_items: the limit.
    """
    return hashlib.sha256(f"{fingerprint} max_items {max_items}".encode()).hexdigest()


def read_limit(recipe: object, name: str = "max_items") -> int | None:
    """Return a limit of a recorded recipe, which may be anything; ``None`` if it sets none.

    Args:
        recipe: ``config["recipe"]`` of a record or of a plan.
        name: the setting.
    """
    value: Any = recipe.get(name) if isinstance(recipe, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _share_evenly(counts: Iterable[int], max_items: int) -> list[int]:
    """Return how many items of each of the first classes are kept; what a small class lacks, others give."""
    left = list(counts)[:max_items]
    kept = [0] * len(left)
    free = max_items
    while free and any(left):
        for label in range(len(left)):
            if free and left[label]:
                left[label], kept[label], free = left[label] - 1, kept[label] + 1, free - 1
    return kept
