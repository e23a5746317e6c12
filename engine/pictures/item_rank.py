"""Select the items of a run that are worth a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ItemRank(NamedTuple):
    """An item that is drawn because of its score: ``best``, ``median`` or ``worst``, its name, its score in percent."""

    label: str
    name: str
    score: float


def rank_items(names: Sequence[str], scores: Sequence[str]) -> list[ItemRank]:
    """Select the worst, the median and the best item of a run; fewer if it has fewer than three items with a score.

    Args:
        names: name of each item.
        scores: score of each item as text, from the per-item file; an empty one is left out.

    >>> rank_items(["a", "b", "c", "d"], ["1.5", "", "3", "2"])[0]
    ItemRank(label='worst', name='a', score=1.5)
    """
    order = sorted((float(score), name) for name, score in zip(names, scores, strict=True) if score)
    # worst first, because it says most about a model; a dict drops a rank that shows the same item again
    ranks = {0: "worst", len(order) - 1: "best"} | ({len(order) // 2: "median"} if len(order) > 2 else {})
    order_of_display = sorted(ranks.items(), key=lambda rank: ("worst", "median", "best").index(rank[1]))
    return [ItemRank(label, order[at][1], order[at][0]) for at, label in order_of_display] if order else []
