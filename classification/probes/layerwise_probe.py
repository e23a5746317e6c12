"""Probes after each block of a frozen backbone: linear and k-NN, trained on train and judged on val.

Test is never read: this is a look inside, not a number for a board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from backbones.features import pooled_depths
from classification.data.subset_sampling import Labelled
from classification.metrics import top1
from classification.probes.feature_extraction import Frozen, freeze
from classification.probes.linear import choose, fit_path, standardise
from classification.recipe import KnnRecipe, LinearRecipe
from engine.knn import vote
from engine.task import Plan, Request, Task
from results.records.record import Interval
from results.statistics.intervals import wilson_percent


class DepthScore(NamedTuple):
    """A probe at a depth: val top-1 in percent with its interval over images, and what was chosen."""

    depth: int
    probe: str
    value: float
    interval: Interval
    chosen: str


class Depths(Frozen):
    """A frozen backbone whose features are those after every block, side by side."""

    def ingredients(self, split: str, members: Sequence[int] | None = None) -> dict[str, Any]:
        """As the parent's, of another layer."""
        return {**super().ingredients(split, members), "layer": "every depth", "pool": "avg"}

    def _forward(self, images: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            values = pooled_depths(self.created.model, images.to(self.device))
        return np.asarray(torch.cat(values, 1).float().cpu().numpy(), np.float32)

    def columns(self) -> list[slice]:
        """Where each depth is among the features."""
        info: Any = self.created.model.feature_info
        widths = [int(item["num_chs"]) for item in (info if isinstance(info, list) else info.get_dicts())]
        ends = np.cumsum(widths).tolist()
        return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


def depths(
    request: Request,
    recipe: LinearRecipe,
    arguments: Mapping[str, Any],
    splits: Mapping[str, Labelled],
    fingerprint: str,
    task: Task,
) -> Depths:
    """Make the backbone, fixed; features come from the cache of all probes where it has them.

    Args:
        request: the cell; its start weights, seed, data scale and device are used.
        recipe: gives batch size and loader processes.
        arguments: what the backbone is created with.
        splits: ``train`` and ``val``, without augmentation.
        fingerprint: of the data.
        task: gives the name.
    """
    plan = Plan(1, {}, {}, arguments, 0, ())
    frozen = freeze(request, plan, recipe, splits, fingerprint, task)
    return Depths(**{field.name: getattr(frozen, field.name) for field in fields(frozen)})


def probe(frozen: Depths, linear: LinearRecipe, knn: KnnRecipe) -> list[DepthScore]:
    """Both probes at every depth.

    The strength of the linear probe is chosen on val, at each depth anew, where it is also judged: its value is a
    little too good, at every depth in the same way.

    Args:
        frozen: the backbone.
        linear: grid of strengths and solver.
        knn: number of neighbours and temperature.
    """
    train, val = frozen.train(), frozen.features("val")
    found = []
    for depth, columns in enumerate(frozen.columns()):
        bank, queries = (np.ascontiguousarray(part.values[:, columns]) for part in (train, val))
        standard = standardise(bank)
        fits = fit_path(
            standard.of(bank),
            train.labels,
            linear.grid.values(),
            linear.tolerance,
            linear.max_iterations,
            frozen.device,
            label=f"{frozen.label} depth {depth}",
        )
        choice = choose(fits, standard.of(queries), val.labels)
        found.append(_score(depth, "linear", choice.value, len(queries), f"C={choice.fit.strength:.6g}"))
        votes = vote(bank, train.labels, queries, knn.k, knn.temperature, frozen.device)
        value = top1(val.labels, votes.predictions)
        found.append(_score(depth, "knn", value, len(queries), f"k={knn.k}, T={knn.temperature:g}"))
    return found


def _score(depth: int, name: str, value: float, count: int, chosen: str) -> DepthScore:
    right = round(value * count / 100)
    return DepthScore(depth, name, value, wilson_percent(right, count, over="images"), chosen)
