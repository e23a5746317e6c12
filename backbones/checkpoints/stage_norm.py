"""The final norm of a decoupled distillation of a hierarchical backbone, which belongs to another stage."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from backbones.checkpoints.formats import format_dropped
from backbones.checkpoints.layouts.conversion import find_qk_only_blocks

_NORM_NAMES = ("norm.weight", "norm.bias")
_FIRST_NORM = re.compile(r"layers\.\d+\.blocks\.0\.norm1\.weight$")


def replace_stage_norm(
    tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], dropped: list[str], notes: list[str]
) -> dict[str, Tensor]:
    """Let the final norm start at 1 and 0 where the file's is that of an earlier stage.

    The decoder of the decoupled distillation reads an earlier stage (arXiv 2404.12210), so ``norm`` has that stage's
    channels and says nothing about the output of the last one. The file is known by its last block, which has queries
    and keys only, or by the mask token of SimMIM.

    Args:
        tensors: the tensors of the file, under timm's names.
        model_state: the model's state dict.
        dropped: a line is appended for each tensor that is left out.
        notes: a sentence is appended if the norm was replaced.

    Returns:
        The tensors, with the model's own norm in place of the file's.
    """
    names = [name for name in _NORM_NAMES if name in tensors and name in model_state]
    is_other = any(tensors[name].shape != model_state[name].shape for name in names)
    if not is_other or not (find_qk_only_blocks(tensors) or _is_masked_pretraining(tensors, names, model_state)):
        return dict(tensors)
    for name in names:
        dropped.append(format_dropped(name, tensors[name], "norm of the stage that the pre-training's decoder read"))
    notes.append("the final norm starts at 1 and 0: the file's belongs to an earlier stage")
    fresh = dict(zip(_NORM_NAMES, (torch.ones_like, torch.zeros_like), strict=True))
    return {**tensors, **{name: fresh[name](model_state[name]) for name in names}}


def _is_masked_pretraining(
    tensors: Mapping[str, Tensor], norm_names: list[str], model_state: Mapping[str, Tensor]
) -> bool:
    """Return whether a file is of SimMIM on a Swin like the model, and its norm has the channels of a stage of it."""
    first_norms = [name for name in model_state if _FIRST_NORM.match(name)]
    widths = {model_state[name].shape for name in first_norms}
    has_token = "mask_token" in tensors and "mask_token" not in model_state
    return has_token and all(tensors[name].shape in widths for name in norm_names)
