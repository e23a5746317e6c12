"""Protocol ``lowshot``: logistic regression on few training items per class, drawn several times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from classification.data.subset_sampling import sample_class_fraction, sample_k_shot
from classification.metrics import ScoredItem, compute_accuracies
from classification.probes.feature_cache import LabeledFeatures
from classification.probes.feature_extraction import FrozenBackbone
from classification.probes.linear import (
    FeatureStandardizer,
    SelectedFit,
    fit_logistic_path,
    fit_standardizer,
    select_fit,
)
from classification.probes.probe_outcome import build_outcome, score_rows
from classification.recipe import LowShotRecipe
from engine.calibration.scope import end_calibration
from engine.progress_bar import log_message
from engine.seeding import derive_seed
from engine.task import Task, TaskOutcome
from results.records.record import MetricValue, ModelSelection
from results.statistics.intervals import student_t_interval
from results.statistics.rounding import is_same_up_to_rounding

MAX_VAL_SHOTS = 4
"""Largest number of val items per class, as in CoOp (Zhou et al. 2022).

With a large val split to choose on, the setting would not be low-shot.
"""


class FewShotSubset(NamedTuple):
    """The item indices of one draw, ascending."""

    train_indices: list[int]
    val_indices: list[int]


def run_lowshot(frozen: FrozenBackbone, recipe: LowShotRecipe, task: Task) -> TaskOutcome:
    """Fit a classifier on each draw, choose its ``C`` on a similarly small draw of val, and test all of them.

    Args:
        frozen: gives the features.
        recipe: gives shots or percentage, the number of draws, and the settings of the solver.
        task: gives name and metrics.
    """
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
    # test is read only now, when the classifiers of all draws are fixed
    test = frozen.get_features("test")
    end_calibration()
    rows = []
    for standard, choice in fitted:
        chances = choice.fit.predict_proba(standard.transform(test.features))
        rows.append(score_rows(test.labels, chances))
    phases = {
        "features": extracted - began,
        "fit_and_choose": chosen - extracted,
        "test": time.monotonic() - chosen,
    }
    # one row per draw and test item, with the draw in front
    items = [(draw, *row) for draw, scores in enumerate(rows) for row in scores]
    selection = _describe_selection([choice for _, choice in fitted])
    metrics = average_over_draws(rows, len(frozen.splits["test"]), task)
    diverged = {f"draw_{draw}": choice.diverged for draw, (_, choice) in enumerate(fitted) if choice.diverged}
    details = {"diverged_strengths": diverged} if diverged else {}
    return build_outcome(frozen, metrics, ("draw", *ScoredItem._fields), items, selection, phases, details)


def sample_few_shot_subset(frozen: FrozenBackbone, recipe: LowShotRecipe, draw_number: int) -> FewShotSubset:
    """Draw the training items of the recipe, and val items: the same percentage, or the shots, but at most four.

    Args:
        frozen: gives labels and seed.
        recipe: gives shots or percentage.
        draw_number: index of the draw, from 0.

    Raises:
        UserError: a class of train has fewer items than the requested shots.
    """
    train, val = frozen.splits["train"].labels, frozen.splits["val"].labels
    seed = derive_seed(frozen.seed, draw_number)  # one seed per draw, for train and val
    if recipe.percent is not None:
        return FewShotSubset(
            sample_class_fraction(train, recipe.percent / 100, seed),
            sample_class_fraction(val, recipe.percent / 100, seed),
        )
    assert recipe.shots is not None
    return FewShotSubset(
        # of the items that a limit keeps, a class may have fewer; the plan requires the shots of the complete split
        sample_k_shot(train, recipe.shots, seed, allow_fewer=recipe.max_items is not None),
        sample_k_shot(val, min(recipe.shots, MAX_VAL_SHOTS), seed, allow_fewer=True),
    )


def average_over_draws(
    rows_per_draw: Sequence[Sequence[ScoredItem]], num_images: int, task: Task
) -> dict[str, MetricValue]:
    """Average each metric over the draws, with Student's t interval if there are two draws or more that differ.

    Args:
        rows_per_draw: for each draw, one row per test item.
        num_images: number of test items.
        task: gives the metrics.

    Raises:
        IncompleteError: in one of the draws, a test item is missing or was scored twice.
    """
    values = [compute_accuracies(scores, num_images) for scores in rows_per_draw]
    found = {}
    for spec in task.metrics:
        each = [value[spec.name] for value in values]
        agree = is_same_up_to_rounding(min(each), max(each))
        found[spec.name] = MetricValue(
            value=fmean(each),
            unit=spec.unit,
            higher_is_better=spec.higher_is_better,
            n=num_images,
            # the interval is over draws: it says how much another choice of training items would move the mean
            # Draws with one and the same value say nothing about the size of chance.
            interval=student_t_interval(each, resampling_unit="draws") if not agree else None,
        )
    return found


def _get_draw_features(frozen: FrozenBackbone, split: str, draws: Sequence[Sequence[int]]) -> list[LabeledFeatures]:
    """Return the features of each draw.

    Features are computed once for the union of all draws, or for the complete split if the union is half of it or more.
    """
    union = sorted(set().union(*draws))
    if 2 * len(union) >= len(frozen.splits[split]):
        union = list(range(len(frozen.splits[split])))  # other protocols and draws can then use the stored features
    found = frozen.get_features(split, union)
    # both are ascending, so a binary search gives the row of each drawn item within the union
    places = [np.searchsorted(union, draw) for draw in draws]
    return [LabeledFeatures(found.features[place], found.labels[place]) for place in places]


def _fit_draw(
    train: LabeledFeatures, val: LabeledFeatures, recipe: LowShotRecipe, device: str, label: str
) -> tuple[FeatureStandardizer, SelectedFit]:
    """Fit every ``C`` of the grid on one draw and choose the best on val; returns it with the draw's standardizer."""
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
    choice = select_fit(fits, standard.transform(val.features), val.labels, label)
    if not choice.fit.converged:
        log_message(f"{label}: the fit chosen is not at its optimum; raise max_iterations")
    return standard, choice


def _describe_selection(choices: Sequence[SelectedFit]) -> ModelSelection:
    """Describe the chosen ``C`` of each draw, with the mean of their val accuracies."""
    return ModelSelection(
        split="val",
        metric="top1",
        candidates=choices[0].num_candidates,
        chosen="C by draw: " + ", ".join(f"{choice.fit.inverse_strength:.6g}" for choice in choices),
        value=fmean(choice.val_top1 for choice in choices),
    )
