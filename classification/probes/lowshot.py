"""Protocol ``lowshot``: logistic regression on few training items of each class, drawn several times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from classification.data.subset_sampling import share, shots
from classification.metrics import Scored, accuracies
from classification.probes.feature_cache import Features
from classification.probes.feature_extraction import Frozen, outcome_of, scored
from classification.probes.linear import Choice, Standard, choose, fit_path, standardise
from classification.recipe import LowShotRecipe
from engine.progress import say
from engine.seeding import mix
from engine.task import Outcome, Task
from results.records.record import Metric, Selection
from results.statistics.intervals import student_t

VAL_SHOTS = 4
"""Val items a class at most, as in CoOp (Zhou et al. 2022): a large val split would be no low-shot setting."""


class Drawn(NamedTuple):
    """Item numbers of one draw, rising."""

    train: list[int]
    val: list[int]


def lowshot(frozen: Frozen, recipe: LowShotRecipe, task: Task) -> Outcome:
    """On each draw: fit on it, choose the strength on a val draw of like size; then read test once for all of them."""
    began = time.monotonic()
    draws = [draw_items(frozen, recipe, draw) for draw in range(recipe.draws)]
    train = _features(frozen, "train", [draw.train for draw in draws])
    val = _features(frozen, "val", [draw.val for draw in draws])
    extracted = time.monotonic()
    fitted = [
        _fit(few, some, recipe, frozen.device, f"{frozen.label} draw {number}/{len(draws)}")
        for number, (few, some) in enumerate(zip(train, val, strict=True), 1)
    ]
    chosen = time.monotonic()
    test = frozen.features("test")
    rows = []
    for standard, choice in fitted:
        chances = choice.fit.chances(standard.of(test.values))
        rows.append(scored(test.labels, chances))
    phases = {
        "features": extracted - began,
        "fit_and_choose": chosen - extracted,
        "test": time.monotonic() - chosen,
    }
    items = [(draw, *row) for draw, scores in enumerate(rows) for row in scores]
    selection = _selection([choice for _, choice in fitted])
    metrics = over_draws(rows, len(frozen.splits["test"]), task)
    return outcome_of(frozen, metrics, ("draw", *Scored._fields), items, selection, phases)


def draw_items(frozen: Frozen, recipe: LowShotRecipe, draw: int) -> Drawn:
    """The items of a draw: of train as the recipe says; of val the same percentage, or at most four shots.

    Raises:
        UserError: a class of train has fewer items than shots are asked for.
    """
    train, val = frozen.splits["train"].labels, frozen.splits["val"].labels
    seed = mix(frozen.seed, draw)
    if recipe.percent is not None:
        return Drawn(share(train, recipe.percent / 100, seed), share(val, recipe.percent / 100, seed))
    assert recipe.shots is not None
    return Drawn(shots(train, recipe.shots, seed), shots(val, min(recipe.shots, VAL_SHOTS), seed, fewer=True))


def over_draws(rows: Sequence[Sequence[Scored]], images: int, task: Task) -> dict[str, Metric]:
    """Mean of each metric over the draws, with Student's t interval where there are two or more.

    Args:
        rows: of each draw, one row a test item.
        images: test items.
        task: gives the metrics.

    Raises:
        IncompleteError: unless every test item was scored once in each draw.
    """
    values = [accuracies(scores, images) for scores in rows]
    found = {}
    for spec in task.metrics:
        each = [value[spec.name] for value in values]
        found[spec.name] = Metric(
            value=fmean(each),
            unit=spec.unit,
            higher_is_better=spec.higher_is_better,
            n=images,
            interval=student_t(each, over="draws") if len(each) > 1 else None,
        )
    return found


def _features(frozen: Frozen, split: str, draws: Sequence[Sequence[int]]) -> list[Features]:
    """The features of each draw; those of their union are computed, or of the whole split where that is half of it."""
    union = sorted(set().union(*draws))
    if 2 * len(union) >= len(frozen.splits[split]):
        union = list(range(len(frozen.splits[split])))
    found = frozen.features(split, union)
    places = [np.searchsorted(union, draw) for draw in draws]
    return [Features(found.values[place], found.labels[place]) for place in places]


def _fit(train: Features, val: Features, recipe: LowShotRecipe, device: str, label: str) -> tuple[Standard, Choice]:
    standard = standardise(train.values)
    fits = fit_path(
        standard.of(train.values),
        train.labels,
        recipe.grid.values(),
        recipe.tolerance,
        recipe.max_iterations,
        device,
        label,
    )
    choice = choose(fits, standard.of(val.values), val.labels)
    if not choice.fit.converged:
        say(f"{label}: the fit chosen is not at its optimum; raise max_iterations")
    return standard, choice


def _selection(choices: Sequence[Choice]) -> Selection:
    return Selection(
        split="val",
        metric="top1",
        candidates=choices[0].candidates,
        chosen="C by draw: " + ", ".join(f"{choice.fit.strength:.6g}" for choice in choices),
        value=fmean(choice.value for choice in choices),
    )
