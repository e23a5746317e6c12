"""Protocol ``knn``: weighted vote of the nearest training images; nothing is trained and nothing chosen."""

from __future__ import annotations

import time

from classification.metrics import Scored
from classification.probes.feature_extraction import Frozen, frozen_outcome, scored
from classification.recipe import KnnRecipe
from engine.knn import shares
from engine.task import Outcome, Task
from results.records.record import Selection


def knn(frozen: Frozen, recipe: KnnRecipe, task: Task) -> Outcome:
    """Let the train split (or train and val) vote on the test split, which is read once."""
    began = time.monotonic()
    bank, queries = frozen.train(recipe.train_on), frozen.features("test")
    extracted = time.monotonic()
    rows: list[Scored] = []
    for part in shares(bank.values, bank.labels, queries.values, recipe.k, recipe.temperature, frozen.device):
        rows += scored(queries.labels[len(rows) : len(rows) + len(part)], part, first=len(rows))
    chosen = f"k={recipe.k}, T={recipe.temperature:g}, {recipe.train_on} votes"
    selection = Selection(split="none", metric="top1", candidates=1, chosen=chosen, value=None)
    phases = {"features": extracted - began, "vote": time.monotonic() - extracted}
    return frozen_outcome(frozen, task, rows, selection, phases)
