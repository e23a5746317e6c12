"""Candidate elimination: its settings, its schedule, and the number of search tokens that remain. Imports no torch."""

from __future__ import annotations

from math import ceil, cos, pi

from pydantic import Field

from engine.recipe import StrictConfig
from engine.settings.setting_types import Count, CountOrZero, LayerIndex


class CandidateElimination(StrictConfig):
    """Settings of candidate elimination (OSTrack, arXiv 2203.11991): search tokens are dropped inside some blocks.

    Tokens are dropped after the attention of a block and before its MLP.

    Attributes:
        blocks: indices of these blocks, from 0.
        keep_ratio: fraction of the search tokens that remains after each of these blocks.
        begin, end: in training all tokens remain until ``begin``; then the fraction falls along a cosine and reaches
            ``keep_ratio`` at ``end``. Both are in the recipe's unit, epochs or iterations, counted from 0; OSTrack's
            files count epochs from 1. Evaluation always uses ``keep_ratio``.
    """

    blocks: list[LayerIndex] = Field(default=[3, 6, 9], min_length=1, max_length=100)
    keep_ratio: float = Field(default=0.7, gt=0, le=1)
    begin: CountOrZero = 20
    end: Count = 100


def compute_keep_ratio(settings: CandidateElimination, step: int) -> float:
    """Return the fraction of search tokens that remains in training at an epoch or iteration.

    Args:
        settings: the schedule.
        step: the epoch or iteration, from 0.

    Example:
        >>> [round(compute_keep_ratio(CandidateElimination(), epoch), 4) for epoch in (20, 30, 60, 100)]
        [1.0, 0.9886, 0.85, 0.7]
    """
    if step < settings.begin:
        return 1.0
    if step >= settings.end:
        return settings.keep_ratio
    # keep + (1 - keep) (1 + cos(pi t)) / 2 for t from 0 to 1: from 1 to keep, with slope 0 at both ends
    past = (step - settings.begin) / (settings.end - settings.begin)
    return settings.keep_ratio + (1 - settings.keep_ratio) * 0.5 * (1 + cos(pi * past))


def count_kept_tokens(tokens: int, keep_ratio: float, num_eliminations: int) -> list[int]:
    """Return the number of search tokens before the first elimination and after each one.

    Args:
        tokens: number of all search tokens.
        keep_ratio: fraction that remains after each elimination.
        num_eliminations: number of blocks that eliminate tokens.

    Returns:
        ``num_eliminations + 1`` counts.

    Example:
        >>> count_kept_tokens(256, 0.7, 3)
        [256, 180, 126, 89]
    """
    counts = [tokens]
    for _ in range(num_eliminations):
        # rounded up and from the count before, exactly as the network does it
        counts.append(ceil(keep_ratio * counts[-1]))
    return counts
