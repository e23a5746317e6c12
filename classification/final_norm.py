"""Start the final norm of a hierarchical backbone anew, as the authors' fine-tuning does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from timm.models.hiera import Hiera
from timm.models.swin_transformer import SwinTransformer
from torch import nn

from backbones.create import CreatedBackbone

NORM_NOTE = "the final norm starts at 1 and 0, since the protocol trains it anew (fresh_norm)"
"""What the load report says of it."""


def restart_final_norm(created: CreatedBackbone) -> CreatedBackbone:
    """Set the final norm of a Swin or a Hiera to weight 1 and bias 0, and say so in the load report.

    MAE-Lite's loading deletes a Swin's norm from the checkpoint, and misses Hiera's, which has another name there. A
    plain ViT has ``fc_norm`` after its pooling instead, which starts anew unless the file has one.

    Args:
        created: the backbone, changed in place.

    Returns:
        The same backbone with the report of what it starts from; unchanged for other architectures and random weights.
    """
    norm = find_final_norm(created.model)
    if created.load_report is None or norm is None:
        return created
    nn.init.ones_(norm.weight)
    nn.init.zeros_(norm.bias)
    report = replace(created.load_report, notes=[*created.load_report.notes, NORM_NOTE])
    return created._replace(load_report=report)


def find_final_norm(model: nn.Module) -> nn.LayerNorm | None:
    """Return the final norm of a Swin or a Hiera; ``None`` for other architectures.

    Args:
        model: a timm model.
    """
    trunk: Any = model
    norm = trunk.norm if isinstance(model, SwinTransformer) else trunk.head.norm if isinstance(model, Hiera) else None
    return norm if isinstance(norm, nn.LayerNorm) else None
