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
    PAPERS_FACTOR,
    AttentionSums,
    attention_modules,
    grid_distances,
    patches_of,
    read_attention,
)
from analysis.csv_tables import csv_bytes
from analysis.figures import depth_scatter, save
from analysis.image_figures import attention_figure, shown
from analysis.record import Analysis
from analysis.store import Kept
from benchmarks.analyze.common import Found, Setting, answer, settle
from foundation.errors import UserError

METHOD = 1
BATCH = 32
"""Images in one forward pass; moves last digits only."""


def run(options: Namespace) -> Kept:
    """Mean attention distance and entropy of every head, and maps of some images."""
    setting = settle(options, [(options.name, options.checkpoint)], 1, options.images)
    if options.pictures > setting.looked.images:
        raise UserError(f"--pictures {options.pictures} are more than the {setting.looked.images} images looked at")
    settings = {"distance": options.distance, "pictures": options.pictures}
    return answer(
        options, "attention", METHOD, setting, settings, lambda: _look(setting, options.distance, options.pictures)
    )


def _look(setting: Setting, distance: str, pictures: int) -> Found:
    subject = setting.subjects[0]
    model = subject.make(setting.device)
    attention_modules(model)  # refuse before anything is computed
    patch, grid = patches_of(model, subject.img_size)
    step = (PAPERS_FACTOR, PAPERS_FACTOR) if distance == "papers" else (float(patch[0]), float(patch[1]))
    distances = grid_distances(grid, step)
    prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
    sums = AttentionSums(distances.to(setting.device), prefix)
    check = True
    for batch in setting.samples[0].batches(BATCH, f"attention {subject.card.name}"):
        read_attention(model, batch.images.to(setting.device), sums.see, check)
        check = False
    far, wide = sums.values()
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
    figure = depth_scatter(
        {labels[0]: far, labels[1]: wide}, f"{subject.label}, {setting.caption}\n{_unit(distance, patch)}", levels
    )
    table = csv_bytes(("block", "head", "distance_px", "entropy_nats"), rows)
    files = {"attention.csv": table, **save(figure, "attention")}
    return Found(numbers, {**files, **_maps(setting, model, grid, prefix, pictures)})


def _unit(distance: str, patch: tuple[int, int]) -> str:
    return "14 px a grid step, as in the papers" if distance == "papers" else f"{patch[0]} px a grid step"


def _maps(setting: Setting, model: nn.Module, grid: tuple[int, int], prefix: int, pictures: int) -> dict[str, bytes]:
    """Attention of the class token to the patches, or where there is none, what each patch gets on average."""
    sample, card = setting.samples[0], setting.subjects[0].card
    of_class = bool(prefix and getattr(model, "has_class_token", True))
    asks = "class token to patches" if of_class else "mean over queries"
    files: dict[str, bytes] = {}
    for place in range(pictures):
        member = sample.members[place]
        image = torch.as_tensor(sample.items[member]["images"])
        maps: list[NDArray[np.float32]] = []

        def see(_block: int, logits: Tensor, maps: list[NDArray[np.float32]] = maps) -> None:
            weights = logits[0].float().softmax(-1)
            row = weights[:, 0, prefix:] if of_class else weights[:, :, prefix:].mean(1)
            maps.append(np.asarray(row.reshape(-1, *grid).cpu().numpy()))

        read_attention(model, image[None].to(setting.device), see, check=False)
        name = Path(sample.items.name(member)).name
        figure = attention_figure(
            shown(image, card.mean, card.std), np.stack(maps), f"{setting.subjects[0].label}\n{name}, {asks}"
        )
        files |= save(figure, f"map_{place}", ["png"])
    return files


def summary(analysis: Analysis) -> list[str]:
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
