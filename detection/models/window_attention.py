"""Attention over a grid of cells: within windows, with relative positions along rows and columns."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbones.architectures.block_parts import compute_attention, merge_heads, project_qkv
from backbones.architectures.rpe import RelPosAttention

GridShape = tuple[int, int]
"""Rows and columns of a grid."""


class RelativePositions(nn.Module):
    """Decomposed relative positions (arXiv 2112.01526, equation 4): one table for rows and one for columns.

    The bias of the query q of cell (i, j) on the key of cell (k, l) is q . height[i - k] + q . width[j - l]. The query
    is **not** divided by the root of the channels, unlike in its product with the key. All heads share the tables,
    which start at zero.

    Args:
        side: rows and columns of the grid that the tables are made for; for other grids they are resized linearly.
        channels: channels of a head.
    """

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.zeros(2 * side - 1, channels))
        self.width = nn.Parameter(torch.zeros(2 * side - 1, channels))

    def compute_bias(self, queries: Tensor, grid: GridShape) -> Tensor:
        """Compute what is added to the logits of the attention.

        Args:
            queries: shape (batch, heads, rows * columns, channels).
            grid: rows and columns.

        Returns:
            Shape (batch, heads, rows * columns, rows * columns).
        """
        cells = torch.unflatten(queries, 2, grid)
        # i, j: cell of the query; k, l: cell of the key
        rows = torch.einsum("bhijc,ikc->bhijk", cells, gather_offsets(self.height, grid[0]))
        columns = torch.einsum("bhijc,jlc->bhijl", cells, gather_offsets(self.width, grid[1]))
        return (rows[..., None] + columns[..., None, :]).flatten(4).flatten(2, 3)


def gather_offsets(table: Tensor, side: int) -> Tensor:
    """Return the row of a table for each pair of positions on a line.

    Args:
        table: one row per offset from -(n - 1) to n - 1, (2 n - 1, channels); resized if n is not ``side``.
        side: number of positions.

    Returns:
        Shape (side, side, channels): the row of the offset of the first position from the second.
    """
    length = 2 * side - 1
    if len(table) != length:
        with keep_full_precision(table):
            table = make_resize_matrix(len(table), length, "linear", table) @ table
    line = torch.arange(side, device=table.device)
    return table[line[:, None] - line[None] + side - 1]


def keep_full_precision(values: Tensor) -> AbstractContextManager[Any]:
    """Return a context without autocast: resizing takes part in fp32, as ``interpolate`` does under autocast.

    Args:
        values: gives the device.
    """
    kind = values.device.type
    # the meta device has no autocast; and an export sees a context only where it changes something
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return contextlib.nullcontext()
    return torch.autocast(kind, enabled=False)


def make_resize_matrix(old: int, new: int, mode: str, like: Tensor) -> Tensor:
    """Return the matrix (new, old) that resizes a line as torch's ``interpolate`` does, with align_corners False.

    A product with it has a deterministic gradient on a GPU; that of ``interpolate`` has not.

    Args:
        old: length of the line.
        new: length of the resized line.
        mode: ``linear`` or ``bicubic``.
        like: gives type and device.
    """
    # each unit vector, resized, is a column of the matrix
    unit = torch.eye(old, dtype=torch.float64 if like.dtype == torch.float64 else torch.float32, device=like.device)
    if mode == "linear":
        resized = functional.interpolate(unit[:, None], size=new, mode="linear", align_corners=False)[:, 0]
    else:
        # a column of pixels per unit vector; the width of 1 stays as it is
        resized = functional.interpolate(unit[:, None, :, None], size=(new, 1), mode=mode, align_corners=False)[
            :, 0, :, 0
        ]
    return resized.T.to(like.dtype)


def split_windows(cells: Tensor, side: int) -> Tensor:
    """Cut a grid into windows, filled up with zeros at the right and at the bottom.

    Args:
        cells: shape (batch, rows, columns, channels).
        side: rows and columns of a window.

    Returns:
        Shape (batch * windows, side, side, channels): all windows of the first item, row by row, then of the next.
    """
    # as plain numbers: an exported graph would compute with the sizes itself, and round negative quotients otherwise
    rows, columns = int(cells.shape[1]), int(cells.shape[2])
    filled = functional.pad(cells, (0, 0, 0, -columns % side, 0, -rows % side))
    # (batch, windows down, side, windows across, side, channels)
    windows = torch.unflatten(torch.unflatten(filled, 2, (-1, side)), 1, (-1, side))
    return windows.transpose(2, 3).flatten(0, 2)


def join_windows(windows: Tensor, grid: GridShape) -> Tensor:
    """Put windows together again, the reverse of ``split_windows``.

    Args:
        windows: shape (batch * windows, side, side, channels).
        grid: rows and columns of the result; what was filled up is cut off.
    """
    side = int(windows.shape[1])
    down, across = -(-grid[0] // side), -(-grid[1] // side)
    parts = torch.unflatten(windows, 0, (-1, down, across)).transpose(2, 3)
    return parts.flatten(3, 4).flatten(1, 2)[:, : grid[0], : grid[1]]


def attend_in_grid(attn: Any, cells: Tensor, positions: RelativePositions | None, rotation: Tensor | None) -> Tensor:
    """Let all cells of each grid attend to each other; cells that were filled up take part, as in detectron2.

    Args:
        attn: attention module of a timm block.
        cells: normalized cells, shape (batch, rows, columns, channels).
        positions: decomposed relative positions, if there are some.
        rotation: rotary embedding of the cells, see ``project_qkv``; ``None`` without one.

    Returns:
        The same shape.
    """
    grid = (int(cells.shape[1]), int(cells.shape[2]))
    tokens = cells.flatten(1, 2)
    q, k, v = project_qkv(attn, tokens, rotation)
    bias = None if positions is None else positions.compute_bias(q, grid)
    if isinstance(attn, RelPosAttention):
        attn.input_grid = grid
        own = attn.compute_bias()[:, :, 1:, 1:]  # without the class token, which comes first
        bias = own if bias is None else bias + own
    if bias is not None:
        bias = bias.to(q.dtype)
    out = compute_attention(attn, q, k, v, bias)
    return torch.unflatten(merge_heads(attn, out, tokens), 1, grid)
