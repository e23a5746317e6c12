"""Compare how weights are loaded with how earlier builds did it, for the ids of runs; see ``loading_fixes``."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt, prod
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.checkpoints.fit_tensors import FittedTensors, fit_tensors
from backbones.checkpoints.read_checkpoint import read_weights
from backbones.checkpoints.sizes.position_tables import REL_POS_TABLE
from backbones.checkpoints.sizes.resize import find_patch_grid
from backbones.create import create_backbone
from backbones.pooling import FC_NORM_POOLS
from backbones.weights import InitialWeights
from foundation.errors import CheckpointError

FC_NORM_KEPT = "fc_norm is loaded"
"""Before, the norm after pooling was reset to 1 and 0."""
GRID_FOUND = "the grid of the positions is not taken for square"
"""Before, as many positions as a square has were always read as a square."""
TABLES_RESIZED = "more tables of positions are resampled"
"""Before, with ``--allow-partial``, they were left out of an incomplete load where their size was another one."""


def list_file_differences(
    card: BackboneCard, start: InitialWeights, model_kwargs: Mapping[str, Any], *, allow_partial: bool
) -> list[str]:
    """List what is loaded from a file otherwise than by earlier builds.

    Args:
        card: the backbone's card.
        start: the weights that the run starts from.
        model_kwargs: arguments with which the backbone is created.
        allow_partial: whether an incomplete load is accepted.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, or has no tensors.
    """
    if start.file is None:
        return []
    file = read_weights(start.file, start.weights_key)
    with torch.random.fork_rng(devices=[]):  # the run's own random numbers stay what they are
        model = create_backbone(card, checkpoint="random", **model_kwargs).model
    card_size = (card.input_size[1], card.input_size[2]) if start.init == "card" else None
    try:
        fitted = fit_tensors(model, file.tensors, source=str(file.path), arguments=file.arguments, card_size=card_size)
    except CheckpointError:
        return []  # what does not fit has no number; the load itself says why
    found = {
        FC_NORM_KEPT: _is_trained_norm({name: fitted.tensors[name] for name in fitted.own if name in fitted.tensors}),
        GRID_FOUND: _has_other_grid(model, fitted),
        TABLES_RESIZED: allow_partial and _has_new_resize(fitted),
    }
    return [difference for difference, applies in found.items() if applies]


def list_module_differences(module: Any, model_kwargs: Mapping[str, Any]) -> list[str]:
    """List what a module from memory starts with otherwise: pooled by its own ``fc_norm``, it keeps that norm.

    Args:
        module: the module that the user handed over.
        model_kwargs: what the task asks of it.
    """
    norm = getattr(module, "fc_norm", None)
    if not isinstance(norm, nn.Module) or "num_classes" not in model_kwargs:
        return []
    if model_kwargs.get("global_pool") not in FC_NORM_POOLS or not isinstance(getattr(module, "norm", None), nn.Module):
        return []
    tensors = {f"fc_norm.{name}": value for name, value in norm.state_dict().items()}
    return [FC_NORM_KEPT] if _is_trained_norm(tensors) else []


def _is_trained_norm(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the norm after pooling is other than a new one, which has weight 1 and bias 0."""
    parts = {name: value for name, value in tensors.items() if name.startswith("fc_norm.")}
    return any(bool((value != (1 if name.endswith("weight") else 0)).any()) for name, value in parts.items())


def _has_other_grid(model: nn.Module, fitted: FittedTensors) -> bool:
    """Return whether positions are read in another grid than before, when as many as a square has were a square."""
    for name, value in fitted.tensors.items():
        if name not in fitted.own or name not in fitted.unresized:
            continue
        own, given = fitted.own[name], fitted.unresized[name]
        if name == "pos_embed" and value.dim() == 3 and value.shape == own.shape:
            before = _fit_as_before(given, own.shape[1], find_patch_grid(model))
            if before is not None and not torch.equal(before, value):
                return True
        window: Any = getattr(model.get_submodule(name.rpartition(".")[0]), "window_size", None)
        if name.endswith(REL_POS_TABLE) and value.dim() == 2 and window is not None and value is given:
            height, width = (window, window) if isinstance(window, int) else window
            count = (2 * height - 1) * (2 * width - 1)
            if height != width and isqrt(count) ** 2 == count:
                return True
    return False


def _fit_as_before(embedding: Tensor, own_rows: int, grid: tuple[int, int] | None) -> Tensor | None:
    """Fit a position embedding to a grid as earlier builds did.

    Args:
        embedding: of the file, shape (1, rows, width).
        own_rows: rows of the model's embedding.
        grid: the model's grid.

    Returns:
        The embedding as it was loaded; ``None`` if it was refused.
    """
    if grid is None:
        return None
    rows, prefix = embedding.shape[1], own_rows - prod(grid)
    squares = [extra for extra in (prefix, 0, 1, 2) if rows > extra and isqrt(rows - extra) ** 2 == rows - extra]
    theirs = prefix if rows == own_rows or not squares else squares[0]
    if theirs < prefix:
        embedding = torch.cat([embedding.new_zeros(1, prefix - theirs, embedding.shape[-1]), embedding], dim=1)
    embedding = embedding[:, max(theirs - prefix, 0) :]
    tokens = embedding.shape[1] - prefix
    if tokens <= 0 or isqrt(tokens) ** 2 != tokens:
        return embedding if tokens == prod(grid) else None
    fitted: Tensor = resample_abs_pos_embed(embedding, list(grid), num_prefix_tokens=prefix)
    return fitted


def _has_new_resize(fitted: FittedTensors) -> bool:
    """Return whether a tensor is resampled that earlier builds left as it was."""
    changed = {name: value for name, value in fitted.tensors.items() if value is not fitted.unresized.get(name)}
    return not all(
        name == "cls_token"
        or (name == "pos_embed" and value.dim() == 3)
        or name.endswith("patch_embed.proj.weight")
        or (name.endswith(REL_POS_TABLE) and value.dim() == 2)
        for name, value in changed.items()
    )
