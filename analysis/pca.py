"""Compute the principal components of a backbone's patch features and display them as colors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.answer import AnalysisOutput, answer_question
from analysis.inputs.image_inputs import AnalysisInputs, resolve_image_inputs
from analysis.output.csv_tables import encode_csv
from analysis.output.figures import render_photo_sheet
from analysis.output.image_figures import denormalize_image, draw_image_rows
from analysis.record import Analysis
from analysis.request import PcaRequest
from analysis.store import StoredAnalysis
from backbones.features import extract_tokens
from foundation.errors import UserError

METHOD_VERSION = 1
BATCH_SIZE = 64
"""Images per forward pass; another value changes results only by rounding."""

IMAGES_PER_ROW = 4
"""Images per row of the figure; the components of each are drawn to its right."""


def compute_principal_components(patches: NDArray[np.float32], num_components: int = 3) -> NDArray[np.float64]:
    """Project patch features on their first principal components, computed over all images together.

    An axis and its negative describe the same component; the sign is chosen so that the largest loading is positive.

    Args:
        patches: features (images, patches, channels).
        num_components: number of components.

    Returns:
        Components (images, patches, num_components), float64.

    Raises:
        UserError: the features have fewer channels than ``num_components``.
    """
    images, length, channels = patches.shape
    if channels < num_components:
        raise UserError(
            f"features of {channels} channels do not have {num_components} principal components; "
            "choose a backbone with more channels"
        )
    flat = patches.reshape(-1, channels).astype(np.float64)  # (images * patches, channels)
    flat = flat - flat.mean(0)
    # The principal axes are the eigenvectors of the covariance up to a factor. That matrix (channels, channels) is
    # far smaller than the features (images * patches, channels); for a symmetric matrix the SVD sorts them by size.
    _, _, axes = np.linalg.svd(flat.T @ flat)
    axes = axes[:num_components]
    signs = np.sign(axes[np.arange(num_components), np.abs(axes).argmax(1)])
    return np.asarray((flat @ (axes * signs[:, None]).T).reshape(images, length, num_components))


def components_to_rgb(components: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Scale components (..., 3) to RGB: the 1st to 99th percentile of each, over all images, becomes 0 to 255."""
    # Percentiles instead of extremes: with the extremes one outlying patch would make all others the same color
    low, high = np.percentile(components.reshape(-1, components.shape[-1]), (1, 99), axis=0)
    scaled = (components - low) / np.maximum(high - low, 1e-12)  # a constant component must not divide by zero
    return np.asarray((scaled.clip(0, 1) * 255).round(), np.uint8)


def run_pca(request: PcaRequest) -> StoredAnalysis:
    """Draw the first three principal components of patch features as red, green and blue."""
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
    # Computed over all images together, so that a color has the same meaning in each of them
    components = compute_principal_components(np.concatenate(features))
    colors = components_to_rgb(components).reshape(len(images), *tokens.grid_size, 3)
    names = [Path(name).name for name in subset.image_names()]
    mean, std = backbone.card.mean, backbone.card.std
    cells = []
    for image, name, color in zip(images, names, colors, strict=True):
        cells += [(denormalize_image(image, mean, std), name, ""), (color, "components", "")]
    width = 2 * IMAGES_PER_ROW  # two cells per image: the image and its components
    sheet = [cells[place : place + width] for place in range(0, len(cells), width)]
    title = (
        f"{backbone.label}: principal components of patch features, {inputs.caption}\n"
        "red, green and blue: components 1, 2 and 3 of each patch, over all these images"
    )
    table = [
        (name, patch, *values)
        for name, image_components in zip(names, components.tolist(), strict=True)
        for patch, values in enumerate(image_components)
    ]
    variance = components.reshape(-1, 3).var(0)
    numbers = {"variance": variance.tolist(), "images": names, "grid": list(tokens.grid_size)}
    files = {"pca.csv": encode_csv(("image", "patch", "first", "second", "third"), table)}
    return AnalysisOutput(numbers, {**files, **render_photo_sheet(draw_image_rows(sheet, title), "pca")})


def summarize_analysis(analysis: Analysis) -> list[str]:
    """Return the main results as lines of text."""
    rows, columns = analysis.numbers["grid"]
    return [f"{len(analysis.numbers['images'])} images, grid {rows} x {columns}"]
