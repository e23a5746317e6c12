"""Groups of pairs that a tracker normalizes together. Imports no torch."""

from __future__ import annotations

from engine.training_checks.norm_groups import NormWords

DEFAULT_NORM_GROUP = 32
"""Pairs that are normalized together in the papers: the batch of each of their 4 GPUs."""

PAIR_WORDS = NormWords("pairs", "batch norm and losses")
"""For refusals of ``engine.training_checks.norm_groups``."""
