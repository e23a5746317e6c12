"""Protocol ``knn``: weighted vote of the nearest training images; nothing is trained and nothing chosen."""

from __future__ import annotations

import time

from classification.metrics import ScoredItem
from classification.probes.feature_extraction import FrozenBackbone, build_accuracy_outcome, score_rows
from classification.recipe import KnnRecipe
from engine.knn import compute_vote_shares
from engine.task import Task, TaskOutcome
from results.records.record import ModelSelection


def run_knn(frozen: FrozenBackbone, recipe: KnnRecipe, task: Task) -> TaskOutcome:
    """Let the train split (or train and val) vote on the test split, which is read once."""
    began = time.monotonic()
    bank, queries = frozen.get_train_features(recipe.train_on), frozen.get_features("test")
    extracted = time.monotonic()
    rows: list[ScoredItem] = []
    for part in compute_vote_shares(
        bank.features, bank.labels, queries.features, recipe.k, recipe.temperature, frozen.device
    ):
        rows += score_rows(queries.labels[len(rows) : len(rows) + len(part)], part, first_item=len(rows))
    chosen = f"k={recipe.k}, T={recipe.temperature:g}, {recipe.train_on} votes"
    selection = ModelSelection(split="none", metric="top1", candidates=1, chosen=chosen, value=None)
    phases = {"features": extracted - began, "vote": time.monotonic() - extracted}
    return build_accuracy_outcome(frozen, task, rows, selection, phases)
