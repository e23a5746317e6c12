"""Check the activation of a model where the layout of its weights says which one they were trained with."""

from __future__ import annotations

from collections.abc import Collection

import timm
from torch import nn

from backbones.checkpoints.layouts.clip import CLIP_TOWER, CLIP_TRANSFORMERS, OPENAI_CONSTANTS
from foundation.errors import CheckpointError


def check_activation(layout: str, names: Collection[str], model: nn.Module, notes: list[str], source: str) -> None:
    """Refuse OpenAI's CLIP weights for a model without QuickGELU, and say it where the file leaves it open.

    OpenAI trained with QuickGELU, x * sigmoid(1.702 x), and most others with GELU. The names and shapes are the same,
    and the wrong activation gives plausible, wrong features.

    Args:
        layout: the name of the file's layout.
        names: the names of the file's tensors.
        model: the timm model.
        notes: a sentence is appended where the file does not tell.
        source: the file, for messages.

    Raises:
        CheckpointError: the file is OpenAI's, and the model has another activation.
    """
    if layout not in (CLIP_TOWER, CLIP_TRANSFORMERS):
        return
    kinds = {type(module).__name__ for name, module in model.named_modules() if name.endswith(".mlp.act")}
    quick = any("QuickGELU" in kind for kind in kinds)
    if not set(OPENAI_CONSTANTS) <= set(names):
        has = "QuickGELU" if quick else "GELU"
        notes.append(
            f"the file does not say whether its activation is GELU or QuickGELU (OpenAI, MetaCLIP, DFN); the model has "
            f"{has}, and the wrong one gives wrong features"
        )
    elif not quick:
        raise CheckpointError(
            f"the checkpoint {source} is OpenAI's CLIP, trained with QuickGELU, which the backbone does not have; "
            f"choose {_name_quick_model(model)}"
        )


def _name_quick_model(model: nn.Module) -> str:
    """Return the name of timm's model with QuickGELU, where there is one of the same size."""
    name = str((getattr(model, "pretrained_cfg", None) or {}).get("architecture", ""))
    quick = name.replace("_clip_", "_clip_quickgelu_")
    known = quick != name and timm.is_model(quick)
    return f"timm/{quick}" if known else "one of timm's models with clip_quickgelu in their names"
