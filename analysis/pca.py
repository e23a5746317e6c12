"""Principal components of a backbone's patch features, shown as colors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.answer import AnalysisOutput, answer_question
from analysis.inputs.image_inputs import AnalysisInputs, resolve_image_inputs
from analysis.output.csv_tables import encode_csv
from analysis.output.figures import render_figure
from analysis.output.image_figures import denormalize_image, draw_image_rows
from analysis.record import Analysis
from analysis.request import PcaRequest
from analysis.store import StoredAnalysis
from backbones.features import extract_tokens
from foundation.errors import UserError

METHOD_VERSION = 1
BATCH_SIZE = 64
"""Images in one forward pass; it moves last digits only."""

IMAGES_PER_ROW = 4
"""In the figure; each has its components beside it."""


def compute_principal_components(patches: NDArray[np.float32], num_components: int = 3) -> NDArray[np.float64]:
    """The first principal components of patch features (n, N, C), over all images together: (n, N, num_components).

    An axis and its opposite describe the same component; the sign is chosen so that its largest loading is positive.

    Args:
        patches: features of n images with N patches of C channels.
        num_components: how many.

    Raises:
        UserError: features of fewer channels than components.
    """
    images, length, channels = patches.shape
    if channels < num_components:
        raise UserError(f"features of {channels} channels have no {num_components} principal components")
    flat = patches.reshape(-1, channels).astype(np.float64)
    flat = flat - flat.mean(0)
    # The axes are the eigenvectors of the covariance (C, C), which is far smaller than all patches (n N, C)
    _, _, axes = np.linalg.svd(flat.T @ flat)
    axes = axes[:num_components]
    signs = np.sign(axes[np.arange(num_components), np.abs(axes).argmax(1)])
    return np.asarray((flat @ (axes * signs[:, None]).T).reshape(images, length, num_components))


def components_to_rgb(components: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Components (..., 3) as RGB: the 1st to 99th percentile of each over all images becomes 0 to 255."""
    # Percentiles instead of extremes: a single outlying patch would leave all others the same color
    low, high = np.percentile(components.reshape(-1, components.shape[-1]), (1, 99), axis=0)
    scaled = (components - low) / np.maximum(high - low, 1e-12)
    return np.asarray((scaled.clip(0, 1) * 255).round(), np.uint8)


def run_pca(request: PcaRequest) -> StoredAnalysis:
    """The first three principal components of patch features as red, green and blue."""
    inputs = resolve_image_inputs(request)
    return answer_question(
        request, inputs.make_question(METHOD_VERSION, {"components": 3}), lambda: _compute_pca(inputs)
    )


def _compute_pca(inputs: AnalysisInputs) -> AnalysisOutput:
    backbone, subset = inputs.backbones[0], inputs.subsets[0]
    model = backbone.build_model(inputs.device)
    features, images = [], []
    for batch in subset.iter_batches(BATCH_SIZE):
        with torch.inference_mode():
            tokens = extract_tokens(model, batch.images.to(inputs.device))
        features.append(tokens.patches.float().cpu().numpy())
        images += list(batch.images)
    # Over all images together, so that a color means the same in each of them
    components = compute_principal_components(np.concatenate(features))
    colors = components_to_rgb(components).reshape(len(images), *tokens.grid_size, 3)
    names = [Path(name).name for name in subset.image_names()]
    mean, std = backbone.card.mean, backbone.card.std
    cells = []
    for image, name, color in zip(images, names, colors, strict=True):
        cells += [(denormalize_image(image, mean, std), name, ""), (color, "", "")]
    width = 2 * IMAGES_PER_ROW
    sheet = [cells[place : place + width] for place in range(0, len(cells), width)]
    title = f"{backbone.label}: principal components 1 to 3 of patch features, {inputs.caption}"
    table = [
        (name, patch, *values)
        for name, image_components in zip(names, components.tolist(), strict=True)
        for patch, values in enumerate(image_components)
    ]
    variance = components.reshape(-1, 3).var(0)
    numbers = {"variance": variance.tolist(), "images": names, "grid": list(tokens.grid_size)}
    files = {"pca.csv": encode_csv(("image", "patch", "first", "second", "third"), table)}
    return AnalysisOutput(numbers, {**files, **render_figure(draw_image_rows(sheet, title), "pca", ["png"])})


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    rows, columns = analysis.numbers["grid"]
    return [f"{len(analysis.numbers['images'])} images, grid {rows} x {columns}"]
