"""Check what a file's tensors do not have, and its layout tells: the activation, and the constant in a norm."""

from __future__ import annotations

from collections.abc import Collection

import timm
from torch import nn

from backbones.checkpoints.layouts.clip import (
    CLIP_TOWER,
    CLIP_TRANSFORMERS,
    OPENAI_CONSTANTS,
    SIGLIP_TRANSFORMERS,
)
from backbones.checkpoints.layouts.layout import Layout
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
    activations = [module for name, module in model.named_modules() if name.endswith(".mlp.act")]
    # torch's GELU has both kinds, timm has a class for each
    exact = [each for each in activations if type(each).__name__ == "GELU" and vars(each).get("approximate") != "tanh"]
    if layout == SIGLIP_TRANSFORMERS and exact:
        notes.append(
            "SigLIP was trained with the tanh approximation of GELU, and the model has the exact one, which differs by "
            "less than 0.001 in each activation"
        )
    if layout not in (CLIP_TOWER, CLIP_TRANSFORMERS):
        return
    kinds = {type(each).__name__ for each in activations}
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


def compare_norm_eps(layout: Layout, model: nn.Module, notes: list[str]) -> None:
    """Say it where the LayerNorms of a file's project and of the model add another constant to the variance.

    Args:
        layout: the file's layout.
        model: the timm model.
        notes: a sentence is appended if they differ.
    """
    own = {module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)}
    if layout.norm_eps is None or own <= {layout.norm_eps}:
        return
    notes.append(
        f"{layout.name} adds {layout.norm_eps:g} to the variance in its LayerNorms unless its configuration says "
        f"otherwise, and the model adds {', '.join(f'{eps:g}' for eps in sorted(own))}; features differ slightly"
    )


def _name_quick_model(model: nn.Module) -> str:
    """Return the name of timm's model with QuickGELU, where there is one of the same size."""
    name = str((getattr(model, "pretrained_cfg", None) or {}).get("architecture", ""))
    quick = name.replace("_clip_", "_clip_quickgelu_")
    known = quick != name and timm.is_model(quick)
    return f"timm/{quick}" if known else "one of timm's models with clip_quickgelu in their names"
