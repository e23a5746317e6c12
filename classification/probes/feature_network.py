"""Compute the pooled features of a frozen backbone with PyTorch, or with OpenVINO in f32 or bf16 on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.features import extract_pooled
from backbones.pooling import PoolingType
from classification.recipe import FrozenRecipe
from deployment.images.image_graphs import prepare_image_model, trace_image_graph
from deployment.images.image_manifest import IMAGE_INPUT
from deployment.images.image_sets import make_parity_photos
from deployment.onnx_export import ExportGraph
from deployment.openvino import load_batch_graph
from deployment.parity import OutputTolerance, compare_outputs, require_output_parity
from deployment.runtimes import require_runtime
from engine.progress_bar import log_message
from foundation.errors import BenchError, UserError

MAX_F32_DIFFERENCE = 1e-4
"""Largest difference of a feature in f32, as a fraction of the largest feature, as for exported classifiers."""

MIN_COSINE = 0.9
"""Smallest cosine between an image's features in bf16 and in f32. Rounding to 8 bits leaves 0.999; a CPU on which it
does not has no bf16 worth the name."""


class FeatureNetwork(NamedTuple):
    """An exported backbone.

    Attributes:
        compute: from normalized images (n, 3, S, S) to features (n, C), float32.
        details: what the record keeps of it: runtime, precision, and how far its features are from PyTorch's.
    """

    compute: Callable[[Tensor], NDArray[np.float32]]
    details: dict[str, Any]


class PooledBackbone(nn.Module):
    """A backbone with its pooling, for export.

    Args:
        model: the backbone.
        pool: ``avg`` or ``token``.
    """

    def __init__(self, model: nn.Module, pool: PoolingType) -> None:
        super().__init__()
        self.model, self.pool = model, pool

    def forward(self, images: Tensor) -> Tensor:
        """Return features (n, C) of normalized images (n, 3, S, S)."""
        features: Tensor = extract_pooled(self.model, images, self.pool)
        return features


def require_feature_runtime(recipe: FrozenRecipe, device: str) -> None:
    """Check, before anything is read, that features can be computed as a recipe says.

    Args:
        recipe: gives runtime and precision.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UserError: the runtime or its precision is not available, or another device than the CPU is asked for.
    """
    if recipe.runtime == "torch":
        return
    if device != "cpu":
        raise UserError(f"--set runtime={recipe.runtime} computes on the CPU, not on {device}; add --device cpu")
    require_runtime(recipe.runtime, recipe.precision)


def make_runtime_network(model: nn.Module, recipe: FrozenRecipe, card: BackboneCard) -> FeatureNetwork:
    """Put an exported backbone in the place of PyTorch's, after comparing both on photographs.

    Args:
        model: the frozen backbone; it is not changed.
        recipe: gives runtime, precision, pooling and image size.
        card: gives name and normalization.

    Raises:
        UserError: the backbone cannot be written as ONNX.
        BenchError: the runtime does not compute what PyTorch computes.
    """
    log_message(f"writing {card.name} for OpenVINO in {recipe.precision}, and comparing it with PyTorch")
    twin = PooledBackbone(prepare_image_model(model), recipe.pool)
    example = torch.zeros(1, 3, recipe.img_size, recipe.img_size)
    graph = ExportGraph(twin, {IMAGE_INPUT: example}, ("features",))
    written = trace_image_graph(graph, card.name, "leave --set runtime out, for PyTorch")
    infer = load_batch_graph(written, recipe.precision, torch.get_num_threads())

    def compute_features(images: Tensor) -> NDArray[np.float32]:
        return infer(np.ascontiguousarray(images.float().numpy()))

    photos = make_parity_photos([(recipe.img_size, recipe.img_size)], card.mean, card.std)
    images = torch.cat(list(photos.images))
    # by the model and not by its twin, of which the exporter may have changed the weights
    measured = _compare_features(compute_with_torch(model, images, recipe.pool), compute_features(images))
    _require_parity(measured, recipe, f"{card.name} in OpenVINO")
    details = {"runtime": recipe.runtime, "precision": recipe.precision, "images": len(images), **measured}
    return FeatureNetwork(compute_features, {"feature_runtime": details})


def compute_with_torch(model: nn.Module, images: Tensor, pool: PoolingType) -> NDArray[np.float32]:
    """Return features (n, C) of normalized images (n, 3, S, S) on the model's device.

    Args:
        model: the backbone.
        images: the images.
        pool: ``avg`` or ``token``.
    """
    with torch.inference_mode():
        return np.asarray(extract_pooled(model, images, pool).float().cpu().numpy(), np.float32)


def _compare_features(expected: NDArray[np.float32], found: NDArray[np.float32]) -> dict[str, float]:
    """Return the largest difference, the largest feature, and the smallest cosine of an image's features."""
    difference = compare_outputs({"features": expected}, {"features": found})["features"]
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    cosines = (expected * found).sum(1) / np.maximum(lengths, 1e-30)
    return {"difference": difference, "scale": float(np.abs(expected).max()), "cosine": float(cosines.min())}


def _require_parity(measured: dict[str, float], recipe: FrozenRecipe, export_name: str) -> None:
    tolerance = OutputTolerance(MAX_F32_DIFFERENCE * measured["scale"])
    require_output_parity(
        {"features": measured["difference"]}, {"f32": {"features": tolerance}}, recipe.precision, export_name
    )
    if measured["cosine"] < MIN_COSINE:
        raise BenchError(
            f"{export_name} in {recipe.precision} is no longer the model: the cosine between its features and "
            f"PyTorch's falls to {measured['cosine']:.3f} for a photograph; leave --set precision out"
        )
