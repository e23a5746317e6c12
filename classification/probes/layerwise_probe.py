"""Linear and k-NN probes after each block of a frozen backbone, trained on train and evaluated on val.

The test split is never read, because this is an analysis and not a score for a leaderboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from backbones.features import extract_pooled_layers
from classification.data.subset_sampling import LabeledDataset
from classification.metrics import compute_top1
from classification.probes.feature_extraction import FrozenBackbone, make_frozen_backbone
from classification.probes.linear import fit_logistic_path, fit_standardizer, select_fit
from classification.recipe import KnnRecipe, LinearRecipe
from engine.knn import predict_knn
from engine.task import RunPlan, RunRequest, Task
from results.records.record import ConfidenceInterval
from results.statistics.intervals import wilson_interval


class LayerProbeScore(NamedTuple):
    """The result of one probe at one depth.

    Attributes:
        depth: index of the block or stage, from 0.
        probe: ``linear`` or ``knn``.
        val_top1: top-1 accuracy on val, percent.
        interval: confidence interval of ``val_top1`` over the images.
        hyperparameters: the settings used, such as ``C=0.1``.
    """

    depth: int
    probe: str
    val_top1: float
    interval: ConfidenceInterval
    hyperparameters: str


class LayerwiseFrozenBackbone(FrozenBackbone):
    """A frozen backbone whose features are those of all depths, concatenated: (n, sum of the widths)."""

    def get_key_fields(self, split: str, indices: Sequence[int] | None = None) -> dict[str, Any]:
        """Return the fields of the cache key; other layers than the parent's, so other features."""
        return {**super().get_key_fields(split, indices), "layer": "every depth", "pool": "avg"}

    def _extract_batch(self, images: torch.Tensor) -> NDArray[np.float32]:
        # one forward pass gives all depths: one vector (batch, C) per depth, joined along the channels below
        with torch.inference_mode():
            values = extract_pooled_layers(self.created.model, images.to(self.device))
        return np.asarray(torch.cat(values, 1).float().cpu().numpy(), np.float32)

    def get_layer_slices(self) -> list[slice]:
        """Return the columns of each depth within the features."""
        info: Any = self.created.model.feature_info
        widths = [int(item["num_chs"]) for item in (info if isinstance(info, list) else info.get_dicts())]
        # stages of a hierarchical backbone differ in width, so the columns are found by adding the widths up
        ends = np.cumsum(widths).tolist()
        return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


def make_layerwise_backbone(
    request: RunRequest,
    recipe: LinearRecipe,
    backbone_kwargs: Mapping[str, Any],
    splits: Mapping[str, LabeledDataset],
    fingerprint: str,
    task: Task,
) -> LayerwiseFrozenBackbone:
    """Create the backbone and freeze it; its features are stored in the same cache as those of the other probes.

    Args:
        request: its start weights, seed, data scale and device are used.
        recipe: gives batch size and loader processes.
        backbone_kwargs: arguments that the backbone is created with.
        splits: data sets of ``train`` and ``val``, without augmentation.
        fingerprint: SHA-256 of the data.
        task: gives the name.
    """
    # make_frozen_backbone reads nothing of the plan but the backbone's arguments
    plan = RunPlan(1, {}, {}, backbone_kwargs, 0, ())
    frozen = make_frozen_backbone(request, plan, recipe, splits, fingerprint, task)
    return LayerwiseFrozenBackbone(**{field.name: getattr(frozen, field.name) for field in fields(frozen)})


def probe_layers(
    frozen: LayerwiseFrozenBackbone, linear_recipe: LinearRecipe, knn_recipe: KnnRecipe
) -> list[LayerProbeScore]:
    """Run both probes at every depth.

    The ``C`` of the linear probe is chosen on val at each depth, and the probe is evaluated on val, too. Its accuracy
    is therefore slightly too high, but equally so at every depth.

    Args:
        frozen: the backbone.
        linear_recipe: gives the grid of ``C`` and the settings of the solver.
        knn_recipe: gives the number of neighbors and the temperature.

    Returns:
        Two scores per depth, from shallow to deep.
    """
    train, val = frozen.get_train_features(), frozen.get_features("val")
    found = []
    for depth, columns in enumerate(frozen.get_layer_slices()):
        # a contiguous copy of the columns of one depth, (n, C), because everything below reads it several times
        bank, queries = (np.ascontiguousarray(part.features[:, columns]) for part in (train, val))
        standard = fit_standardizer(bank)
        fits = fit_logistic_path(
            standard.transform(bank),
            train.labels,
            linear_recipe.grid.values(),
            linear_recipe.tolerance,
            linear_recipe.max_iterations,
            frozen.device,
            label=f"{frozen.label} depth {depth}",
        )
        choice = select_fit(fits, standard.transform(queries), val.labels, f"{frozen.label} depth {depth}")
        lost = f", {len(choice.diverged)} values of C diverged" if choice.diverged else ""
        chosen = f"C={choice.fit.inverse_strength:.6g}{lost}"
        found.append(_make_score(depth, "linear", choice.val_top1, len(queries), chosen))
        votes = predict_knn(bank, train.labels, queries, knn_recipe.k, knn_recipe.temperature, frozen.device)
        value = compute_top1(val.labels, votes.predictions)
        found.append(_make_score(depth, "knn", value, len(queries), f"k={knn_recipe.k}, T={knn_recipe.temperature:g}"))
    return found


def _make_score(depth: int, name: str, value: float, count: int, chosen: str) -> LayerProbeScore:
    right = round(value * count / 100)  # number of correct images
    return LayerProbeScore(depth, name, value, wilson_interval(right, count, resampling_unit="images"), chosen)
