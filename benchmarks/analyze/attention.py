"""``bench analyze attention A``."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.attention import (
    PAPER_STEP_PX,
    AttentionAccumulator,
    compute_grid_distances,
    find_attention_modules,
    get_patch_grid,
    read_attention,
)
from analysis.csv_tables import encode_csv
from analysis.figures import draw_depth_scatter, render_figure
from analysis.image_figures import denormalize_image, draw_attention_maps
from analysis.record import Analysis
from analysis.store import StoredAnalysis
from benchmarks.analyze.common import AnalysisInputs, AnalysisOutput, analyze_images, resolve_inputs
from foundation.errors import UserError

METHOD_VERSION = 1
BATCH_SIZE = 32
"""Images in one forward pass; moves last digits only."""


def run(options: Namespace) -> StoredAnalysis:
    """Mean attention distance and entropy of every head, and maps of some images."""
    setting = resolve_inputs(options, [(options.name, options.checkpoint)], 1, options.images)
    if options.pictures > setting.image_source.images:
        raise UserError(
            f"--pictures {options.pictures} are more than the {setting.image_source.images} images looked at"
        )
    settings = {"distance": options.distance, "pictures": options.pictures}
    return analyze_images(
        options,
        "attention",
        METHOD_VERSION,
        setting,
        settings,
        lambda: _compute_attention(setting, options.distance, options.pictures),
    )


def _compute_attention(inputs: AnalysisInputs, distance_unit: str, num_pictures: int) -> AnalysisOutput:
    subject = inputs.backbones[0]
    model = subject.build_model(inputs.device)
    find_attention_modules(model)  # refuse before anything is computed
    patch, grid = get_patch_grid(model, subject.img_size)
    step = (PAPER_STEP_PX, PAPER_STEP_PX) if distance_unit == "papers" else (float(patch[0]), float(patch[1]))
    distances = compute_grid_distances(grid, step)
    prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
    sums = AttentionAccumulator(distances.to(inputs.device), prefix)
    check = True
    for batch in inputs.subsets[0].iter_batches(BATCH_SIZE, f"attention {subject.card.name}"):
        read_attention(model, batch.images.to(inputs.device), sums.update, check)
        check = False
    far, wide = sums.compute()
    uniform = (float(distances.mean()), math.log(math.prod(grid)))
    numbers = {
        "distance": far,
        "entropy": wide,
        "pixels_a_step": list(step),
        "grid": list(grid),
        "uniform": {"distance": uniform[0], "entropy": uniform[1]},
    }
    rows = [
        (block, head, far[block][head], wide[block][head])
        for block in range(len(far))
        for head in range(len(far[block]))
    ]
    labels = ("mean attention distance, px", "entropy of attention, nats")
    levels = {labels[0]: (uniform[0], "uniform attention"), labels[1]: (uniform[1], "uniform attention")}
    figure = draw_depth_scatter(
        {labels[0]: far, labels[1]: wide},
        f"{subject.label}, {inputs.caption}\n{_describe_distance_unit(distance_unit, patch)}",
        levels,
    )
    table = encode_csv(("block", "head", "distance_px", "entropy_nats"), rows)
    files = {"attention.csv": table, **render_figure(figure, "attention")}
    return AnalysisOutput(numbers, {**files, **_render_attention_maps(inputs, model, grid, prefix, num_pictures)})


def _describe_distance_unit(distance_unit: str, patch_size: tuple[int, int]) -> str:
    return "14 px a grid step, as in the papers" if distance_unit == "papers" else f"{patch_size[0]} px a grid step"


def _render_attention_maps(
    inputs: AnalysisInputs, model: nn.Module, grid_size: tuple[int, int], num_prefix_tokens: int, num_pictures: int
) -> dict[str, bytes]:
    """Attention of the class token to the patches, or where there is none, what each patch gets on average."""
    sample, card = inputs.subsets[0], inputs.backbones[0].card
    of_class = bool(num_prefix_tokens and getattr(model, "has_class_token", True))
    asks = "class token to patches" if of_class else "mean over queries"
    files: dict[str, bytes] = {}
    for place in range(num_pictures):
        member = sample.indices[place]
        image = torch.as_tensor(sample.dataset[member]["images"])
        maps: list[NDArray[np.float32]] = []

        def see(_block: int, logits: Tensor, maps: list[NDArray[np.float32]] = maps) -> None:
            weights = logits[0].float().softmax(-1)
            row = weights[:, 0, num_prefix_tokens:] if of_class else weights[:, :, num_prefix_tokens:].mean(1)
            maps.append(np.asarray(row.reshape(-1, *grid_size).cpu().numpy()))

        read_attention(model, image[None].to(inputs.device), see, check=False)
        name = Path(sample.dataset.get_image_name(member)).name
        figure = draw_attention_maps(
            denormalize_image(image, card.mean, card.std),
            np.stack(maps),
            f"{inputs.backbones[0].label}\n{name}, {asks}",
        )
        files |= render_figure(figure, f"map_{place}", ["png"])
    return files


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    numbers = analysis.numbers
    uniform = numbers["uniform"]
    lines = ["block  distance px (heads: least to most)  entropy nats"]
    for block, (far, wide) in enumerate(zip(numbers["distance"], numbers["entropy"], strict=True)):
        lines.append(
            f"{block:5}  {np.mean(far):7.1f} ({min(far):.1f} to {max(far):.1f})".ljust(41) + f"  {np.mean(wide):.2f}"
        )
    lines.append(f"uniform attention: {uniform['distance']:.1f} px, {uniform['entropy']:.2f} nats")
    return lines
