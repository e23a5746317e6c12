"""Carry out a planned classification run under its protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from classification.finetune import BuildClassifier, SplitDatasets, run_finetune
from classification.model import Classifier
from classification.plan import ProtocolRecipe
from classification.probes.feature_extraction import FrozenBackbone, make_frozen_backbone
from classification.probes.knn import run_knn
from classification.probes.linear import run_linear_probe
from classification.probes.linear_sgd import run_linear_sgd
from classification.probes.lowshot import run_lowshot
from classification.probes.probe_outcome import build_outcome
from classification.probes.shared_pass import open_feature_crew
from classification.recipe import ClassificationRecipe
from engine.task import RunPlan, RunRequest, Task, TaskOutcome
from results.records.record import ModelSelection

FROZEN_PROTOCOLS: dict[str, Callable[[FrozenBackbone, Any, Task], TaskOutcome]] = {
    "linear": run_linear_probe,
    "linear_sgd": run_linear_sgd,
    "lowshot": run_lowshot,
    "knn": run_knn,
}


def run_protocol(
    request: RunRequest,
    plan: RunPlan,
    recipe: ProtocolRecipe,
    splits: SplitDatasets,
    out_dir: Path,
    task: Task,
    build_classifier: BuildClassifier = Classifier.from_recipe,
) -> TaskOutcome:
    """Carry out a planned run in the folder ``out_dir``.

    Args:
        request: backbone, start weights, seed and device.
        plan: gives the backbone's arguments.
        recipe: the protocol's settings.
        splits: the items of each split.
        out_dir: the run's folder.
        task: gives name and metrics.
        build_classifier: makes the model that a fine-tuning trains.

    Raises:
        BenchError: the run failed; the message says why.
    """
    if isinstance(recipe, ClassificationRecipe):
        return run_finetune(request, plan, recipe, splits, out_dir, task, build_classifier)
    # probes on frozen features never augment, so they need no val_augmented
    named = {"train": splits.train, "val": splits.val, "test": splits.test}
    frozen = make_frozen_backbone(request, plan, recipe, named, splits.fingerprint, task)
    with open_feature_crew() as crew:
        if crew is not None and crew.rank > 0:
            crew.serve_passes(frozen.compute_batches)
            # the first process fits, scores and writes; what the others return is not read
            nothing_chosen = ModelSelection(split="none", metric="top1", candidates=1, chosen="by the first process")
            return build_outcome(frozen, {}, (), [], nothing_chosen, {})
        return FROZEN_PROTOCOLS[request.protocol](replace(frozen, crew=crew), recipe, task)
