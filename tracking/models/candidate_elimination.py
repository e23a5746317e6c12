"""Settings of the tracker's network and of tracking. Imports no torch."""

from __future__ import annotations

from math import ceil, cos, pi
from typing import NamedTuple

from pydantic import Field, NonNegativeInt, PositiveInt

from engine.recipe import Strict


class Elimination(Strict):
    """Candidate elimination: search tokens are dropped inside some blocks, after attention and before the MLP.

    Attributes:
        blocks: numbers from 0.
        keep: share of the search tokens that stays, at each of them.
        begin, end: training keeps all until ``begin``, then falls as a cosine to ``keep`` at ``end``; in the recipe's
            unit (epochs or iterations). Evaluation always keeps ``keep``.
    """

    blocks: list[NonNegativeInt] = Field(default=[3, 6, 9], min_length=1)
    keep: float = Field(default=0.7, gt=0, le=1)
    begin: NonNegativeInt = 20
    end: PositiveInt = 100


def keep_at(setting: Elimination, moment: int) -> float:
    """The share that training keeps at an epoch (or iteration).

    >>> [round(keep_at(Elimination(), epoch), 4) for epoch in (20, 30, 60, 100)]
    [1.0, 0.9886, 0.85, 0.7]
    """
    if moment < setting.begin:
        return 1.0
    if moment >= setting.end:
        return setting.keep
    past = (moment - setting.begin) / (setting.end - setting.begin)
    return setting.keep + (1 - setting.keep) * 0.5 * (1 + cos(pi * past))


def tokens_kept(tokens: int, share: float, times: int) -> list[int]:
    """Tokens left after each of ``times`` eliminations, beginning with all of them.

    >>> tokens_kept(256, 0.7, 3)
    [256, 180, 126, 89]
    """
    counts = [tokens]
    for _ in range(times):
        counts.append(ceil(share * counts[-1]))
    return counts


class Ways(NamedTuple):
    """How a test set is tracked.

    Attributes:
        processes: on a CPU, of one thread each; ``None``: as many as cores.
        batch: on a GPU, sequences side by side.
    """

    processes: int | None = None
    batch: int = 16
