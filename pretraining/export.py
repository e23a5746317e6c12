"""The outcome of a pre-training as a weight file that every task can start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from backbones.card import BackboneCard
from backbones.checkpoints.attention_heads import attention_groups
from backbones.create import create_backbone
from backbones.weights import EXPORT
from foundation.errors import BenchError
from foundation.files import atomic_writer


def export(encoder: nn.Module, card: BackboneCard, size: int, folder: Path, made_by: dict[str, str]) -> Path:
    """Write the encoder's state, by timm's names, into a run's folder, and load it again to see that it is whole.

    Args:
        encoder: the timm model.
        card: the backbone's.
        size: side of the input it was trained at, pixels.
        folder: the run's.
        made_by: what the file shall say of itself.

    Raises:
        BenchError: the file does not load whole into the card's backbone.
    """
    state = {name: value.detach().cpu().clone() for name, value in encoder.state_dict().items()}
    groups = attention_groups(encoder, state)
    # one width and head count: the file can say it, since shapes do not
    arguments: dict[str, Any] = {"num_heads": groups[0].heads} if len(groups) == 1 else {}
    path = folder / EXPORT
    with atomic_writer(path) as file:
        torch.save({"state_dict": state, "args": arguments, "made_by": made_by}, file)
    report = create_backbone(card, img_size=size, checkpoint=str(path), num_classes=0).report
    if report is None or not report.whole or report.resized:
        raise BenchError(f"{path} does not load whole into {card.name}: {report.summary() if report else 'no report'}")
    return path
