"""Write the encoder of a pre-training as a weight file that every task can start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.checkpoints.attention_heads import group_attention_layers
from backbones.create import create_backbone
from backbones.weight_sources.weight_folders import ENCODER_FILENAME
from foundation.errors import BenchError
from foundation.files import atomic_writer


def export_encoder(
    encoder: nn.Module,
    card: BackboneCard,
    img_size: int,
    run_dir: Path,
    metadata: dict[str, str],
    tokens: Mapping[str, Tensor],
) -> Path:
    """Write the encoder's weights under timm's names into a run's folder, and load them again as a check.

    Args:
        encoder: the timm model.
        card: the backbone's card.
        img_size: side of the input during training, pixels.
        run_dir: the run's folder.
        metadata: facts about the training to store in the file.
        tokens: tensors to store beside the encoder, which a use of it leaves out (a mask token).

    Raises:
        BenchError: the file does not load completely into the card's backbone.
    """
    state = {name: value.detach().cpu().clone() for name, value in {**encoder.state_dict(), **tokens}.items()}
    groups = group_attention_layers(encoder, state)
    # The shapes of the weights do not tell the number of heads. If all layers have the same, the file states it.
    arguments: dict[str, Any] = {"num_heads": groups[0].num_heads} if len(groups) == 1 else {}
    path = run_dir / ENCODER_FILENAME
    with atomic_writer(path) as file:
        torch.save({"state_dict": state, "args": arguments, "made_by": metadata}, file)
    # Load the file as every later task will: a fault must stop this run, not the runs that use its encoder.
    report = create_backbone(card, img_size=img_size, checkpoint=str(path), num_classes=0).load_report
    if report is None or not report.is_complete or report.resized:
        raise BenchError(
            f"{path} does not load completely into {card.name}: {report.format_summary() if report else 'no report'}"
        )
    return path
