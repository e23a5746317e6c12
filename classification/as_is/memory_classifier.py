"""A classifier that was handed over as a torch module: what its input is, how many classes it has, and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.checkpoints.load_weights import LoadReport
from backbones.checkpoints.read_checkpoint import WeightFile
from backbones.memory_modules.adapt_module import copy_module_for_task
from backbones.memory_modules.memory_module import make_memory_card
from backbones.weights import InitialWeights
from foundation.errors import UserError


class MemoryClassifier(NamedTuple):
    """A classifier from memory.

    Attributes:
        card: what the module says about itself.
        model: a copy of the module, on the CPU.
        num_classes: number of its outputs.
        start: the module, and the SHA-256 of its tensors.
        file: the same in the form of a weight file, without tensors.
        report: says that nothing was loaded from a file.
    """

    card: BackboneCard
    model: nn.Module
    num_classes: int
    start: InitialWeights
    file: WeightFile
    report: LoadReport


def copy_memory_classifier(module: nn.Module, img_size: int | None) -> MemoryClassifier:
    """Copy a classifier from memory, and find out its number of classes by applying it once.

    Args:
        module: a classifier with its head, images (n, 3, height, width) to logits (n, classes).
        img_size: side of its input, pixels; its own when not given.

    Raises:
        UserError: the module does not say its normalization or size, cannot be copied, or gives no logits.
    """
    card, start = make_memory_card(module)
    size = (card.input_size[1], card.input_size[2]) if img_size is None else (img_size, img_size)
    model = copy_module_for_task(card, start, size, {}).eval()
    with torch.inference_mode():
        logits = model(torch.zeros(1, card.input_size[0], *size))
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(
            f"the module {card.name} gives {shape} for one image, not logits (1, classes); hand over the model with "
            "its classifier"
        )
    assert start.uri is not None and start.sha256 is not None and start.num_bytes is not None  # of every module
    # no file was read, so the account of its tensors is that of the copy
    tensors = len(model.state_dict())
    return MemoryClassifier(
        card,
        model,
        int(logits.shape[1]),
        start,
        WeightFile(Path(start.uri), start.sha256, start.num_bytes, "memory", {}),
        LoadReport(tensors, [], [], [], [], 1.0, ["a module from memory, of which every tensor was copied"]),
    )
