"""Candidate elimination: its settings, and how many search tokens it keeps. Imports no torch."""

from __future__ import annotations

from math import ceil, cos, pi

from pydantic import Field, NonNegativeInt, PositiveInt

from engine.recipe import StrictConfig


class CandidateElimination(StrictConfig):
    """Candidate elimination: search tokens are dropped inside some blocks, after attention and before the MLP.

    Attributes:
        blocks: numbers from 0.
        keep_ratio: share of the search tokens that stays, at each of them.
        begin, end: training keeps all until ``begin``, then falls as a cosine to ``keep_ratio`` at ``end``; in the
            recipe's unit (epochs or iterations). Evaluation always keeps ``keep_ratio``.
    """

    blocks: list[NonNegativeInt] = Field(default=[3, 6, 9], min_length=1)
    keep_ratio: float = Field(default=0.7, gt=0, le=1)
    begin: NonNegativeInt = 20
    end: PositiveInt = 100


def compute_keep_ratio(settings: CandidateElimination, step: int) -> float:
    """The share that training keeps at an epoch (or iteration).

    >>> [round(compute_keep_ratio(CandidateElimination(), epoch), 4) for epoch in (20, 30, 60, 100)]
    [1.0, 0.9886, 0.85, 0.7]
    """
    if step < settings.begin:
        return 1.0
    if step >= settings.end:
        return settings.keep_ratio
    past = (step - settings.begin) / (settings.end - settings.begin)
    return settings.keep_ratio + (1 - settings.keep_ratio) * 0.5 * (1 + cos(pi * past))


def count_kept_tokens(tokens: int, keep_ratio: float, num_eliminations: int) -> list[int]:
    """Tokens left after each of ``num_eliminations`` eliminations, beginning with all of them.

    >>> count_kept_tokens(256, 0.7, 3)
    [256, 180, 126, 89]
    """
    counts = [tokens]
    for _ in range(num_eliminations):
        counts.append(ceil(keep_ratio * counts[-1]))
    return counts
