"""Resample position embeddings, patch embeddings and relative-position tables to the model's sizes."""

from __future__ import annotations

from math import isqrt, prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor, nn

from backbones.checkpoints.formats import format_shape
from foundation.errors import CheckpointError

REL_POS_TABLE = "relative_position_bias_table"


def resize_to_model(
    tensors: dict[str, Tensor], model: nn.Module, model_state: dict[str, Tensor], resized: list[str], notes: list[str]
) -> dict[str, Tensor]:
    """Resample what depends on the input, patch or window size.

    Args:
        tensors: a trunk by timm's names.
        model: the timm model they go into.
        model_state: its state.
        resized: gets ``name OLD -> NEW`` for each tensor resampled.
        notes: gets a sentence where class-token rows were moved.

    Raises:
        CheckpointError: the file's grid or window cannot be told, or its class-token row has no place.
    """
    result = dict(tensors)
    if "pos_embed" in result and "pos_embed" in model_state and result["pos_embed"].dim() == 3:
        _fit_pos_embed(result, model, model_state, notes)
    for name, value in result.items():
        if name not in model_state:
            continue
        if name.endswith("patch_embed.proj.weight") and _has_other_patch_size(value, model_state[name]):
            result[name] = resample_patch_embed(value.float(), list(model_state[name].shape[-2:]))
        elif name.endswith(REL_POS_TABLE) and value.dim() == 2 == model_state[name].dim():
            window = _window_size(model.get_submodule(name.removesuffix(f".{REL_POS_TABLE}")))
            if window is not None:
                result[name] = resize_rel_pos_table(value, window, len(model_state[name]), name)
    for name, value in result.items():
        old = tensors.get(name)
        if old is not None and (old.shape != value.shape or (name == "pos_embed" and old is not value)):
            resized.append(f"{name} {format_shape(old)} -> {format_shape(value)}")
    return result


def resize_pos_embed(embedding: Tensor, grid: tuple[int, int], num_prefix_tokens: int) -> Tensor:
    """An absolute position embedding on another grid, as timm's ``resample_abs_pos_embed`` makes it.

    Args:
        embedding: 1 x (prefix + tokens) x width; the tokens are of a square grid.
        grid: rows and columns of the new grid.
        num_prefix_tokens: class and register rows, which are kept.

    Raises:
        CheckpointError: the tokens are of no square grid (nor as many as the new grid has, then they are its own).
    """
    tokens = embedding.shape[1] - num_prefix_tokens
    if tokens <= 0 or isqrt(tokens) ** 2 != tokens:
        if tokens == prod(grid):
            return embedding
        raise CheckpointError(
            f"the checkpoint's position embedding has {tokens} patch rows, which is no square grid, and the model's "
            f"is {grid[0]}x{grid[1]}; make the model at the input size the weights were made for"
        )
    resampled: Tensor = resample_abs_pos_embed(embedding, list(grid), num_prefix_tokens=num_prefix_tokens)
    return resampled


def resize_rel_pos_table(table: Tensor, window: tuple[int, int], rows: int, name: str = "the table") -> Tensor:
    """A relative-position table for another window: bicubic on its grid, extra entries carried over.

    Args:
        table: ((2h-1)(2w-1) + extra) x heads, of a square window; ``extra`` is 3 with a class token (BEiT), else 0.
        window: height and width of the new window.
        rows: rows of the new table.
        name: for the message.

    Returns:
        The table itself when the sizes are equal.

    Raises:
        CheckpointError: the table is of no square window.
    """
    height, width = 2 * window[0] - 1, 2 * window[1] - 1
    extra = rows - height * width
    old = len(table) - extra
    if old == height * width and (height == width or isqrt(old) ** 2 != old):
        return table
    side = isqrt(max(old, 0))
    if extra < 0 or side < 1 or side * side != old or side % 2 == 0:
        raise CheckpointError(
            f"{name} has {len(table)} rows, which fits no square window with {max(extra, 0)} extra entries; "
            "make the model with the window the weights were made for"
        )
    return resample_rel_pos_table(table, ((side + 1) // 2, (side + 1) // 2), window)


def resample_rel_pos_table(table: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """A relative-position table for another grid: bicubic on its offsets, the entries after them carried over.

    Args:
        table: ((2h-1)(2w-1) + extra) x heads, where (h, w) is ``old_grid``.
        old_grid: the table's grid, height and width in patches.
        new_grid: the grid wanted.

    Returns:
        The table itself when the grids are equal.
    """
    if new_grid == old_grid:
        return table
    (old_rows, old_columns), (rows, columns) = ([2 * side - 1 for side in grid] for grid in (old_grid, new_grid))
    count = old_rows * old_columns
    offsets = table[:count].float().T.reshape(1, -1, old_rows, old_columns)
    offsets = F.interpolate(offsets, size=(rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([offsets.reshape(-1, rows * columns).T.to(table.dtype), table[count:]])


def _fit_pos_embed(
    result: dict[str, Tensor], model: nn.Module, model_state: dict[str, Tensor], notes: list[str]
) -> None:
    grid = _patch_grid_size(model)
    embedding, rows = result["pos_embed"], model_state["pos_embed"].shape[1]
    if grid is None or embedding.shape[-1] != model_state["pos_embed"].shape[-1]:
        return
    prefix = rows - prod(grid)
    theirs = _count_prefix_rows(embedding.shape[1], prefix, rows)
    if theirs < prefix:
        embedding = torch.cat([embedding.new_zeros(1, prefix - theirs, embedding.shape[-1]), embedding], dim=1)
        notes.append("the position embedding has no class-token row; a row of 0 says the same")
    elif theirs > prefix:
        if theirs - prefix != 1 or "cls_token" not in result or "cls_token" not in model_state:
            raise CheckpointError(
                "the checkpoint's position embedding has a class-token row, which the model has no place for; "
                "choose the backbone with the class token that the weights were made with"
            )
        result["cls_token"] = result["cls_token"].float() + embedding[:, :1].float()
        embedding = embedding[:, 1:]
        notes.append("the class-token row of the position embedding was added to the class token, which is the same")
    result["pos_embed"] = resize_pos_embed(embedding, grid, prefix)


def _count_prefix_rows(rows: int, prefix: int, own_rows: int) -> int:
    """How many of the file's rows are no patches: as many as the model's, or else what leaves a square."""
    if rows == own_rows:
        return prefix
    for extra in (prefix, 0, 1, 2):
        if rows > extra and isqrt(rows - extra) ** 2 == rows - extra:
            return extra
    return prefix


def _patch_grid_size(model: nn.Module) -> tuple[int, int] | None:
    """The model's patch grid: rows, columns."""
    for owner, name in ((getattr(model, "patch_embed", None), "grid_size"), (model, "tokens_spatial_shape")):
        size: Any = getattr(owner, name, None)
        if size is not None and len(size) == 2:
            return int(size[0]), int(size[1])
    return None


def _window_size(attention: nn.Module) -> tuple[int, int] | None:
    size: Any = getattr(attention, "window_size", None)
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if size is not None and len(size) == 2 else None


def _has_other_patch_size(value: Tensor, own: Tensor) -> bool:
    return value.dim() == own.dim() == 4 and value.shape[:2] == own.shape[:2] and value.shape != own.shape
