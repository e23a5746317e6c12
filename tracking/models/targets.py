"""The target of the score branch: a Gaussian around the cell of the target's center.

It matches OSTrack (lib/utils/heapmap_utils.py), which uses the first version of CornerNet's formula for the radius.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_OVERLAP = 0.7


def gaussian_radius(width: Tensor, height: Tensor, min_overlap: float = MIN_OVERLAP) -> Tensor:
    """Return how far a corner of a box may move before its IoU with the box falls below ``min_overlap``.

    There are three cases: both corners move in the same direction, both inwards, or both outwards. In each, the IoU
    reaches ``min_overlap`` at the smallest positive root of a quadratic equation a r^2 + b r + c = 0. CornerNet's first
    code takes the larger root in the first two cases and divides by 2 instead of 2 a in the last two. Published
    trackers were trained with that formula, so it is kept.

    Args:
        width: widths of boxes in cells, any shape.
        height: heights of boxes in cells, the same shape.
        min_overlap: least IoU.

    Returns:
        The radius in cells, the same shape.

    Example:
        >>> round(float(gaussian_radius(torch.tensor(8.0), torch.tensor(8.0))), 4)
        2.1866
    """
    total, area = width + height, width * height
    # shifted: r^2 - total r + area (1 - overlap) / (1 + overlap) = 0
    first = (total + (total**2 - 4 * area * (1 - min_overlap) / (1 + min_overlap)).sqrt()) / 2
    # inwards: 4 r^2 - 2 total r + area (1 - overlap) = 0
    second = (2 * total + (4 * total**2 - 16 * (1 - min_overlap) * area).sqrt()) / 2
    # outwards: 4 overlap r^2 + 2 overlap total r - area (1 - overlap) = 0
    third = (
        -2 * min_overlap * total + (4 * min_overlap**2 * total**2 + 16 * min_overlap * (1 - min_overlap) * area).sqrt()
    ) / 2
    # first >= total / 2 and second >= total, while third <= total / 4: with these formulas the third always decides
    return torch.minimum(torch.minimum(first, second), third)


def find_center_cells(boxes: Tensor, grid_size: int) -> Tensor:
    """Return the cells in which the centers of boxes lie.

    Args:
        boxes: x, y, width, height as fractions of the crop's side, shape (n, 4).
        grid_size: number of cells per side.

    Returns:
        Column and row, shape (n, 2). They may lie outside the grid.
    """
    # rounded to the nearest cell (half to even), not down, as in OSTrack; the offset branch learns the rest
    return ((boxes[:, :2] + boxes[:, 2:] / 2) * grid_size).round().long()


def make_score_maps(boxes: Tensor, grid_size: int) -> Tensor:
    """Return the maps that the score branch is trained to predict.

    A map is exactly 1 at the cell of the center and falls as a Gaussian of standard deviation (2 r + 1) / 6 up to r
    cells around it in each direction, where r is the integer part of ``gaussian_radius``. A center outside the grid
    leaves a map without a 1.

    Args:
        boxes: x, y, width, height as fractions of the crop's side, shape (n, 4).
        grid_size: number of cells per side.

    Returns:
        Shape (n, grid_size, grid_size).
    """
    sides = (boxes[:, 2:] * grid_size).clamp_min(0)
    radius = gaussian_radius(sides[:, 0], sides[:, 1]).clamp_min(0).int()
    cells = torch.arange(grid_size, device=boxes.device)
    centers = find_center_cells(boxes, grid_size)
    # distance of each column and each row to the center, shape (n, grid_size)
    columns = cells[None] - centers[:, :1]
    rows = cells[None] - centers[:, 1:]
    # 3 sigma on each side cover the 2 r + 1 cells; double precision, as numpy computes it in OSTrack
    sigma = (2 * radius + 1)[:, None, None].double() / 6
    # rows and columns combine to (n, grid_size, grid_size)
    squares = rows[:, :, None] ** 2 + columns[:, None, :] ** 2
    near = (rows.abs() <= radius[:, None])[:, :, None] & (columns.abs() <= radius[:, None])[:, None, :]
    values = torch.exp(-squares / (2 * sigma**2))
    return torch.where(near, values, torch.zeros_like(values)).float()
