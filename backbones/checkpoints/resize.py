"""Resample position embeddings, patch embeddings and relative-position tables to the sizes of the model."""

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
    """Resample the tensors that depend on the input, patch or window size.

    Args:
        tensors: the tensors of a trunk, under timm's names.
        model: the timm model that they are loaded into.
        model_state: the model's state dict.
        resized: a line ``name OLD -> NEW`` is appended for each resampled tensor.
        notes: a sentence is appended if class-token rows were added or moved.

    Returns:
        All tensors, resampled where needed.

    Raises:
        CheckpointError: the grid or window of the file is unknown, or the model has no class token for the file's
            class-token row.
    """
    result = dict(tensors)
    if "pos_embed" in result and "pos_embed" in model_state and result["pos_embed"].dim() == 3:
        _fit_pos_embed(result, model, model_state, notes)
    for name, value in result.items():
        if name not in model_state:
            continue  # unexpected; the load report says so
        if name.endswith("patch_embed.proj.weight") and _has_other_patch_size(value, model_state[name]):
            # timm's resize from big_vision's FlexiViT: an image resized along with the patches keeps its features
            result[name] = resample_patch_embed(value.float(), list(model_state[name].shape[-2:]))
        elif name.endswith(REL_POS_TABLE) and value.dim() == 2 == model_state[name].dim():
            # without a window (plain attention) nothing is resized here, and a difference is reported as missing
            window = _window_size(model.get_submodule(name.removesuffix(f".{REL_POS_TABLE}")))
            if window is not None:
                result[name] = resize_rel_pos_table(value, window, len(model_state[name]), name)
    for name, value in result.items():
        # a class-token row can be added or removed without a change of shape, so pos_embed is compared by identity
        old = tensors.get(name)
        if old is not None and (old.shape != value.shape or (name == "pos_embed" and old is not value)):
            resized.append(f"{name} {format_shape(old)} -> {format_shape(value)}")
    return result


def resize_pos_embed(embedding: Tensor, grid: tuple[int, int], num_prefix_tokens: int) -> Tensor:
    """Resample an absolute position embedding to another grid with timm's ``resample_abs_pos_embed``.

    Args:
        embedding: shape (1, prefix + tokens, width); the tokens form a square grid.
        grid: rows and columns of the new grid.
        num_prefix_tokens: number of class and register rows, which stay unchanged.

    Returns:
        Shape (1, prefix + rows * columns, width). The embedding itself if its grid is not square and has as many
        tokens as the new one.

    Raises:
        CheckpointError: the old grid is not square, so its height and width are unknown.
    """
    tokens = embedding.shape[1] - num_prefix_tokens
    # the embedding does not store the grid's height and width; a square number is taken for a square grid
    if tokens <= 0 or isqrt(tokens) ** 2 != tokens:
        if tokens == prod(grid):
            return embedding
        raise CheckpointError(
            f"the checkpoint's position embedding has {tokens} patch rows, which is not a square grid, and the "
            f"model's is {grid[0]}x{grid[1]}; create the model with the input size that the weights were made for"
        )
    resampled: Tensor = resample_abs_pos_embed(embedding, list(grid), num_prefix_tokens=num_prefix_tokens)
    return resampled


def resize_rel_pos_table(table: Tensor, window: tuple[int, int], rows: int, name: str = "the table") -> Tensor:
    """Resample the relative-position table of a square window to another window.

    Args:
        table: shape ((2 * side - 1) ** 2 + extra, heads), for a square window of ``side``; ``extra`` is 3 with a class
            token (BEiT), else 0.
        window: height and width of the new window, in patches.
        rows: number of rows of the new table, extra rows included.
        name: name of the table, for messages.

    Returns:
        Shape (rows, heads). The table itself if the sizes are equal.

    Raises:
        CheckpointError: the table does not belong to a square window.
    """
    height, width = 2 * window[0] - 1, 2 * window[1] - 1
    # the model tells how many extra rows there are, and the file is assumed to have as many
    extra = rows - height * width
    old = len(table) - extra
    # As many rows as the new window needs: the table belongs to that window, unless the window is not square and the
    # number is also that of a square one.
    if old == height * width and (height == width or isqrt(old) ** 2 != old):
        return table
    # side = 2 * window - 1, which is odd
    side = isqrt(max(old, 0))
    if extra < 0 or side < 1 or side * side != old or side % 2 == 0:
        raise CheckpointError(
            f"{name} has {len(table)} rows, which no square window with {max(extra, 0)} extra rows has; "
            "create the model with the window that the weights were made for"
        )
    return resample_rel_pos_table(table, ((side + 1) // 2, (side + 1) // 2), window)


def resample_rel_pos_table(table: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Resample a relative-position table to another grid: bicubic over the offsets, extra rows unchanged.

    Args:
        table: shape ((2 * height - 1) * (2 * width - 1) + extra, heads), where height and width are ``old_grid``.
        old_grid: the grid of the table, height and width in patches.
        new_grid: the requested grid, height and width in patches.

    Returns:
        The same shape for ``new_grid``. The table itself if the grids are equal.

    Example:
        >>> tuple(resample_rel_pos_table(torch.zeros(27 * 27 + 3, 12), (14, 14), (32, 32)).shape)
        (3972, 12)
    """
    if new_grid == old_grid:
        return table
    (old_rows, old_columns), (rows, columns) = ([2 * side - 1 for side in grid] for grid in (old_grid, new_grid))
    count = old_rows * old_columns
    # (offsets, heads) -> (1, heads, rows, columns): an image of offsets with one channel per head, in float32, since
    # bicubic interpolation in half precision would round
    offsets = table[:count].float().T.reshape(1, -1, old_rows, old_columns)
    # align_corners=False maps center to center, so the offset (0, 0) stays (0, 0)
    offsets = F.interpolate(offsets, size=(rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([offsets.reshape(-1, rows * columns).T.to(table.dtype), table[count:]])


def _fit_pos_embed(
    result: dict[str, Tensor], model: nn.Module, model_state: dict[str, Tensor], notes: list[str]
) -> None:
    """Fit ``pos_embed`` in ``result`` to the model: first the class-token rows, then the grid.

    Raises:
        CheckpointError: the file has a class-token row and the model has no class token, or the grid is unknown.
    """
    grid = _patch_grid_size(model)
    embedding, rows = result["pos_embed"], model_state["pos_embed"].shape[1]
    if grid is None or embedding.shape[-1] != model_state["pos_embed"].shape[-1]:
        return  # another width is another model; the load report says so
    prefix = rows - prod(grid)
    theirs = _count_prefix_rows(embedding.shape[1], prefix, rows)
    if theirs < prefix:
        # the file adds positions to patches only (timm's no_embed_class): adding 0 to the class token is the same
        embedding = torch.cat([embedding.new_zeros(1, prefix - theirs, embedding.shape[-1]), embedding], dim=1)
        notes.append("the position embedding has no class-token row; a row of zeros was added, which has no effect")
    elif theirs > prefix:
        # the model adds positions to patches only: the class token's row is a constant and moves into the token
        if theirs - prefix != 1 or "cls_token" not in result or "cls_token" not in model_state:
            raise CheckpointError(
                "the checkpoint's position embedding has a class-token row that the model cannot take; "
                "choose the backbone with the class token that the weights were made with"
            )
        result["cls_token"] = result["cls_token"].float() + embedding[:, :1].float()
        embedding = embedding[:, 1:]
        notes.append(
            "the class-token row of the position embedding was added to the class token, which has the same effect"
        )
    result["pos_embed"] = resize_pos_embed(embedding, grid, prefix)


def _count_prefix_rows(rows: int, prefix: int, own_rows: int) -> int:
    """Return how many of the file's rows are not patches.

    Args:
        rows: rows of the file's position embedding.
        prefix: prefix rows of the model.
        own_rows: all rows of the model.

    Returns:
        ``prefix`` if both have equally many rows, else the number that leaves a square grid; ``prefix`` again if there
        is none.
    """
    if rows == own_rows:
        return prefix
    for extra in (prefix, 0, 1, 2):  # the model's own first; 2 are class and distillation token
        if rows > extra and isqrt(rows - extra) ** 2 == rows - extra:
            return extra
    return prefix


def _patch_grid_size(model: nn.Module) -> tuple[int, int] | None:
    """Return the rows and columns of the model's patch grid, or ``None`` if it has none."""
    # timm's Hiera keeps the grid in the model itself, under another name
    for owner, name in ((getattr(model, "patch_embed", None), "grid_size"), (model, "tokens_spatial_shape")):
        size: Any = getattr(owner, name, None)
        if size is not None and len(size) == 2:
            return int(size[0]), int(size[1])
    return None


def _window_size(attention: nn.Module) -> tuple[int, int] | None:
    """Return height and width of an attention module's window, or ``None`` if it has none."""
    size: Any = getattr(attention, "window_size", None)
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if size is not None and len(size) == 2 else None


def _has_other_patch_size(value: Tensor, own: Tensor) -> bool:
    """Return whether two patch embeddings, (width, channels, height, width), differ only in the patch size."""
    return value.dim() == own.dim() == 4 and value.shape[:2] == own.shape[:2] and value.shape != own.shape
