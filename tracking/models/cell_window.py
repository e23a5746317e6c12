"""The output of a head's tower at one cell, from the part of the features that it depends on.

Four 3x3 convolutions see 4 cells to each side, so one cell of their output needs a window of 9 x 9 cells, of which
7 x 7 remain after the first convolution, then 5 x 5, 3 x 3 and 1. For OSTrack's head on a grid of 16 x 16 this is a
seventh of the multiplications of the whole map.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracking.models.crop_positions import gather_tokens

WINDOW_RADIUS = 4
"""Cells that the tower sees to each side: one per 3x3 convolution."""


def gather_windows(features: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the window around one cell of each image.

    Args:
        features: shape (batch, channels, G, G).
        cells: index of one cell per image, row * G + column, shape (batch,).

    Returns:
        The windows, shape (batch, channels, 9, 9), zero outside of the grid; and whether each of their cells is inside,
        as 1 or 0, shape (batch, 1, 9, 9).
    """
    grid = features.shape[3]
    steps = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1, device=cells.device)
    # (batch, 9) each
    rows, columns = (cells // grid)[:, None] + steps, (cells % grid)[:, None] + steps
    inside = _is_inside(rows, grid)[:, :, None] * _is_inside(columns, grid)[:, None, :]
    # a cell outside of the grid reads some cell inside and is multiplied by zero
    places = rows.clamp(0, grid - 1)[:, :, None] * grid + columns.clamp(0, grid - 1)[:, None, :]
    found = gather_tokens(features.flatten(2).transpose(1, 2), places.flatten(1))
    windows = found.transpose(1, 2).reshape(*features.shape[:2], *places.shape[1:])
    mask = inside[:, None].to(features.dtype)
    return windows * mask, mask


def apply_tower(tower: nn.Sequential, windows: Tensor, inside: Tensor) -> Tensor:
    """Compute a tower's output at the middle of each window.

    Args:
        tower: blocks of 3x3 convolution, batch norm and ReLU, then a 1x1 convolution, in evaluation mode.
        windows: the first result of ``gather_windows``.
        inside: the second result of ``gather_windows``.

    Returns:
        Shape (batch, output channels).
    """
    *layers, last = tower
    for number in range(0, len(layers), 3):
        convolution: Any = layers[number]
        norm, activation = layers[number + 1 : number + 3]
        # without padding: each layer needs one cell less to each side
        windows = activation(norm(functional.conv2d(windows, convolution.weight, convolution.bias)))
        # Each layer of the whole map pads with zeros. Cells outside of the grid must be zero after each layer, not only
        # before the first: bias and norm have made something else of them.
        margin = number // 3 + 1
        windows = windows * inside[:, :, margin : inside.shape[2] - margin, margin : inside.shape[3] - margin]
    output: Tensor = last(windows)
    return output.flatten(1)


def _is_inside(places: Tensor, grid: int) -> Tensor:
    """Return 1 for rows or columns of the grid, else 0."""
    return ((places >= 0) & (places < grid)).long()
