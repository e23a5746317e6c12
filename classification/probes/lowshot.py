"""Protocol ``lowshot``: logistic regression on few training items of each class, drawn several times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from classification.data.subset_sampling import sample_class_fraction, sample_k_shot
from classification.metrics import ScoredItem, compute_accuracies
from classification.probes.feature_cache import LabeledFeatures
from classification.probes.feature_extraction import FrozenBackbone, build_outcome, score_rows
from classification.probes.linear import (
    FeatureStandardizer,
    SelectedFit,
    fit_logistic_path,
    fit_standardizer,
    select_fit,
)
from classification.recipe import LowShotRecipe
from engine.progress import log_message
from engine.seeding import derive_seed
from engine.task import Task, TaskOutcome
from results.records.record import MetricValue, ModelSelection
from results.statistics.intervals import student_t_interval

MAX_VAL_SHOTS = 4
"""Val items a class at most, as in CoOp (Zhou et al. 2022): a large val split would be no low-shot setting."""


class FewShotSubset(NamedTuple):
    """Item numbers of one draw, rising."""

    train_indices: list[int]
    val_indices: list[int]


def run_lowshot(frozen: FrozenBackbone, recipe: LowShotRecipe, task: Task) -> TaskOutcome:
    """On each draw: fit on it, choose the strength on a val draw of like size; then read test once for all of them."""
    began = time.monotonic()
    draws = [sample_few_shot_subset(frozen, recipe, draw) for draw in range(recipe.draws)]
    train = _get_draw_features(frozen, "train", [draw.train_indices for draw in draws])
    val = _get_draw_features(frozen, "val", [draw.val_indices for draw in draws])
    extracted = time.monotonic()
    fitted = [
        _fit_draw(few, some, recipe, frozen.device, f"{frozen.label} draw {number}/{len(draws)}")
        for number, (few, some) in enumerate(zip(train, val, strict=True), 1)
    ]
    chosen = time.monotonic()
    test = frozen.get_features("test")
    rows = []
    for standard, choice in fitted:
        chances = choice.fit.predict_proba(standard.transform(test.features))
        rows.append(score_rows(test.labels, chances))
    phases = {
        "features": extracted - began,
        "fit_and_choose": chosen - extracted,
        "test": time.monotonic() - chosen,
    }
    items = [(draw, *row) for draw, scores in enumerate(rows) for row in scores]
    selection = _describe_selection([choice for _, choice in fitted])
    metrics = average_over_draws(rows, len(frozen.splits["test"]), task)
    return build_outcome(frozen, metrics, ("draw", *ScoredItem._fields), items, selection, phases)


def sample_few_shot_subset(frozen: FrozenBackbone, recipe: LowShotRecipe, draw_number: int) -> FewShotSubset:
    """The items of a draw: of train as the recipe says; of val the same percentage, or at most four shots.

    Raises:
        UserError: a class of train has fewer items than shots are asked for.
    """
    train, val = frozen.splits["train"].labels, frozen.splits["val"].labels
    seed = derive_seed(frozen.seed, draw_number)
    if recipe.percent is not None:
        return FewShotSubset(
            sample_class_fraction(train, recipe.percent / 100, seed),
            sample_class_fraction(val, recipe.percent / 100, seed),
        )
    assert recipe.shots is not None
    return FewShotSubset(
        sample_k_shot(train, recipe.shots, seed),
        sample_k_shot(val, min(recipe.shots, MAX_VAL_SHOTS), seed, allow_fewer=True),
    )


def average_over_draws(
    rows_per_draw: Sequence[Sequence[ScoredItem]], num_images: int, task: Task
) -> dict[str, MetricValue]:
    """Mean of each metric over the draws, with Student's t interval where there are two or more.

    Args:
        rows_per_draw: of each draw, one row a test item.
        num_images: test items.
        task: gives the metrics.

    Raises:
        IncompleteError: unless every test item was scored once in each draw.
    """
    values = [compute_accuracies(scores, num_images) for scores in rows_per_draw]
    found = {}
    for spec in task.metrics:
        each = [value[spec.name] for value in values]
        found[spec.name] = MetricValue(
            value=fmean(each),
            unit=spec.unit,
            higher_is_better=spec.higher_is_better,
            n=num_images,
            interval=student_t_interval(each, resampling_unit="draws") if len(each) > 1 else None,
        )
    return found


def _get_draw_features(frozen: FrozenBackbone, split: str, draws: Sequence[Sequence[int]]) -> list[LabeledFeatures]:
    """The features of each draw; those of their union are computed, or of the whole split where that is half of it."""
    union = sorted(set().union(*draws))
    if 2 * len(union) >= len(frozen.splits[split]):
        union = list(range(len(frozen.splits[split])))
    found = frozen.get_features(split, union)
    places = [np.searchsorted(union, draw) for draw in draws]
    return [LabeledFeatures(found.features[place], found.labels[place]) for place in places]


def _fit_draw(
    train: LabeledFeatures, val: LabeledFeatures, recipe: LowShotRecipe, device: str, label: str
) -> tuple[FeatureStandardizer, SelectedFit]:
    standard = fit_standardizer(train.features)
    fits = fit_logistic_path(
        standard.transform(train.features),
        train.labels,
        recipe.grid.values(),
        recipe.tolerance,
        recipe.max_iterations,
        device,
        label,
    )
    choice = select_fit(fits, standard.transform(val.features), val.labels)
    if not choice.fit.converged:
        log_message(f"{label}: the fit chosen is not at its optimum; raise max_iterations")
    return standard, choice


def _describe_selection(choices: Sequence[SelectedFit]) -> ModelSelection:
    return ModelSelection(
        split="val",
        metric="top1",
        candidates=choices[0].num_candidates,
        chosen="C by draw: " + ", ".join(f"{choice.fit.inverse_strength:.6g}" for choice in choices),
        value=fmean(choice.val_top1 for choice in choices),
    )
