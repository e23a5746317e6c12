"""Protocol ``knn``: the nearest training images vote, weighted by similarity; nothing is trained and nothing chosen."""

from __future__ import annotations

import time

from classification.metrics import ScoredItem
from classification.probes.feature_extraction import FrozenBackbone
from classification.probes.probe_outcome import build_accuracy_outcome, score_rows
from classification.recipe import KnnRecipe
from engine.calibration.scope import measure_items
from engine.knn import compute_vote_shares
from engine.task import Task, TaskOutcome
from results.records.record import ModelSelection


def run_knn(frozen: FrozenBackbone, recipe: KnnRecipe, task: Task) -> TaskOutcome:
    """Classify the test items by a vote of the training items; test is read once.

    Args:
        frozen: gives the features.
        recipe: gives ``k``, the temperature, and the splits that vote.
        task: gives name and metrics.
    """
    began = time.monotonic()
    bank, queries = frozen.get_train_features(recipe.train_on), frozen.get_features("test")
    extracted = time.monotonic()
    rows: list[ScoredItem] = []
    # the fractions of the vote come block by block; they sum to 1 over the classes and serve as probabilities
    shares = compute_vote_shares(
        bank.features, bank.labels, queries.features, recipe.k, recipe.temperature, frozen.device
    )
    for part in measure_items("vote", "images", len(frozen.splits["test"]), shares, len):
        rows += score_rows(queries.labels[len(rows) : len(rows) + len(part)], part, first_item=len(rows))
    chosen = f"k={recipe.k}, T={recipe.temperature:g}, {recipe.train_on} votes"
    selection = ModelSelection(split="none", metric="top1", candidates=1, chosen=chosen, value=None)
    phases = {"features": extracted - began, "vote": time.monotonic() - extracted}
    return build_accuracy_outcome(frozen, task, rows, selection, phases)
