"""Resample tables of relative positions to another window or grid: offsets, absolute offsets, one side at a time."""

from __future__ import annotations

from math import isqrt, prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from backbones.checkpoints.sizes.grids import GridChoice, choose_grid
from foundation.errors import CheckpointError

REL_POS_TABLE = "relative_position_bias_table"
BIAS_GRID = "attention_biases"
"""LeViT, EfficientFormer, TinyViT, EfficientViT: one bias per head and per pair of absolute offsets."""
SIDE_TABLES = ("rel_pos_h", "rel_pos_w", "height_rel", "width_rel")
"""MViTv2, SAM, BoTNet: one vector per offset, separately for rows and columns."""


def resize_position_table(
    name: str,
    table: Tensor,
    own: Tensor,
    module: nn.Module,
    notes: list[str],
    image_size: tuple[int, int] | None = None,
) -> Tensor:
    """Resample a table of relative positions to the size that a model has.

    Args:
        name: the table's name in the model; its last part tells the kind.
        table: the table of the file.
        own: the table of the model.
        module: the module that has the table; it knows its window or resolution.
        notes: a sentence is appended where the shape of the file's window had to be inferred.
        image_size: height and width of the images that the weights were made for, if known.

    Returns:
        The table, resampled where needed; as it is where its kind or number of heads is not the model's.

    Raises:
        CheckpointError: the table belongs to a window whose shape is unknown.
    """
    kind = name.rpartition(".")[2]
    if kind == REL_POS_TABLE and table.dim() == own.dim() == 3:
        return resample_offsets(table, (own.shape[1], own.shape[2])) if len(table) == len(own) else table
    if table.dim() != 2 or own.dim() != 2:
        return table
    if kind in SIDE_TABLES:
        return _resize_side_table(table, len(own)) if table.shape[1] == own.shape[1] else table
    if kind == BIAS_GRID:
        resolution = _read_resolution(module, own.shape[1])
        return (
            table
            if resolution is None or len(table) != len(own)
            else _resize_bias_grid(table, resolution, name, notes, image_size)
        )
    window = _read_size(module, "window_size")
    # without a window (plain attention) nothing is resized here, and a difference is reported as missing
    return table if window is None else resize_rel_pos_table(table, window, len(own), name, notes)


def resize_rel_pos_table(
    table: Tensor,
    window: tuple[int, int],
    rows: int,
    name: str = "the table",
    notes: list[str] | None = None,
) -> Tensor:
    """Resample the relative-position table of a window to another window.

    Args:
        table: shape ((2 * height - 1) * (2 * width - 1) + extra, heads); ``extra`` is 3 with a class token (BEiT),
            else 0.
        window: height and width of the new window, in patches.
        rows: number of rows of the new table, extra rows included.
        name: name of the table, for messages.
        notes: a sentence is appended where the table may belong to a square window as well as to the new one.

    Returns:
        Shape (rows, heads). The table itself if the windows are equal.

    Raises:
        CheckpointError: no window, or none that is known, has a table of this size.
    """
    height, width = 2 * window[0] - 1, 2 * window[1] - 1
    # the model tells how many extra rows there are, and the file is assumed to have as many
    extra = rows - height * width
    count = len(table) - extra
    choice = choose_grid(table[: max(count, 0)], (height, width), odd_sides=True)
    if extra < 0 or count < 1 or choice is None:
        raise CheckpointError(
            f"{name} has {len(table)} rows, which no square window with {max(extra, 0)} extra rows has; "
            "create the model with the window that the weights were made for"
        )
    # a number of rows that is an odd square is that of a square window with hardly an exception: no note
    if notes is not None and count == height * width:
        _add_note(notes, "the relative-position tables are", choice)
    old = ((choice.size[0] + 1) // 2, (choice.size[1] + 1) // 2)
    return resample_rel_pos_table(table, old, window)


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
    # (offsets, heads) -> (heads, rows, columns): an image of offsets with one channel per head
    offsets = resample_offsets(table[:count].T.reshape(-1, old_rows, old_columns), (rows, columns))
    return torch.cat([offsets.reshape(-1, rows * columns).T, table[count:]])


def resample_offsets(offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample images of offsets, with the offset (0, 0) in the middle, by bicubic interpolation.

    Args:
        offsets: shape (heads, rows, columns), both odd.
        size: rows and columns of the result, both odd.

    Returns:
        Shape (heads, rows, columns). The tensor itself if the sizes are equal.
    """
    if tuple(offsets.shape[1:]) == tuple(size):
        return offsets
    # in float32, since bicubic interpolation in half precision would round; align_corners=False maps center to center,
    # so the offset (0, 0) stays (0, 0)
    resampled = F.interpolate(offsets.float()[None], size=size, mode="bicubic", align_corners=False)[0]
    return resampled.to(offsets.dtype)


def resample_bias_grid(biases: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resample the biases of absolute offsets to another resolution.

    A bias holds for the offsets (y, x), (-y, x), (y, -x) and (-y, -x). So the grid is mirrored to all offsets,
    resampled as a relative-position table is, and one quarter is kept. The offset 0 stays the offset 0, which it does
    not where the grid itself is interpolated like an image (timm's ``resize_rel_pos_bias_table_levit``).

    Args:
        biases: shape (heads, rows * columns), row after row; the first is the offset (0, 0).
        old: rows and columns of the grid.
        new: rows and columns of the requested grid.

    Returns:
        Shape (heads, rows * columns) for ``new``. The tensor itself if the grids are equal.
    """
    if new == old:
        return biases
    grid = biases.reshape(-1, *old)
    grid = torch.cat([grid[:, 1:].flip(1), grid], dim=1)
    grid = torch.cat([grid[:, :, 1:].flip(2), grid], dim=2)
    resampled = resample_offsets(grid, (2 * new[0] - 1, 2 * new[1] - 1))
    return resampled[:, new[0] - 1 :, new[1] - 1 :].reshape(-1, prod(new))


def _resize_bias_grid(
    biases: Tensor, resolution: tuple[int, int], name: str, notes: list[str], image_size: tuple[int, int] | None
) -> Tensor:
    # windows of attention are square (TinyViT); a grid that is not is the whole image's (LeViT)
    choice = choose_grid(biases.T, resolution, image_size if resolution[0] != resolution[1] else None)
    if choice is None:
        raise CheckpointError(
            f"{name} has biases for {biases.shape[1]} offsets, which no square grid has; create the model at the input "
            "size that the weights were made for"
        )
    _add_note(notes, f"the attention biases of {biases.shape[1]} offsets are", choice)
    return resample_bias_grid(biases, choice.size, resolution)


def _add_note(notes: list[str], what: str, choice: GridChoice) -> None:
    """Add why a grid was chosen, once for all blocks."""
    if choice.reason and f"{what} {choice.reason}" not in notes:
        notes.append(f"{what} {choice.reason}")


def _resize_side_table(table: Tensor, rows: int) -> Tensor:
    """Interpolate a table of one side, (offsets, width), linearly, as MViTv2 and SAM do when they run at a new size."""
    if len(table) == rows:
        return table
    resampled = F.interpolate(table.float().T[None], size=rows, mode="linear", align_corners=False)
    return resampled[0].T.to(table.dtype)


def _read_resolution(module: nn.Module, offsets: int) -> tuple[int, int] | None:
    """Return rows and columns of a grid of biases; EfficientFormer does not state them, and its grid is square."""
    side = isqrt(offsets)
    return _read_size(module, "resolution") or ((side, side) if side * side == offsets else None)


def _read_size(module: nn.Module, attribute: str) -> tuple[int, int] | None:
    """Return height and width that a module states as one or two numbers, or ``None`` if it does not."""
    size: Any = getattr(module, attribute, None)
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if size is not None and len(size) == 2 else None
