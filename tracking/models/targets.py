"""What the head is taught: a Gaussian on the cell of the target's centre.

Matches OSTrack (lib/utils/heapmap_utils.py), which takes CornerNet's first formula of the radius.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_OVERLAP = 0.7


def gaussian_radius(width: Tensor, height: Tensor, min_overlap: float = MIN_OVERLAP) -> Tensor:
    """How far a corner may move until the overlap falls below ``min_overlap``, by CornerNet's formula.

    The formula divides by 2 where the roots need 2a; published trackers were trained with it.

    Args:
        width, height: of the box, in cells.
        min_overlap: least IoU.

    >>> round(float(gaussian_radius(torch.tensor(8.0), torch.tensor(8.0))), 4)
    2.1866
    """
    total, area = width + height, width * height
    first = (total + (total**2 - 4 * area * (1 - min_overlap) / (1 + min_overlap)).sqrt()) / 2
    second = (2 * total + (4 * total**2 - 16 * (1 - min_overlap) * area).sqrt()) / 2
    third = (
        -2 * min_overlap * total + (4 * min_overlap**2 * total**2 + 16 * min_overlap * (1 - min_overlap) * area).sqrt()
    ) / 2
    return torch.minimum(torch.minimum(first, second), third)


def find_center_cells(boxes: Tensor, grid_size: int) -> Tensor:
    """The cells of boxes' centres, rounded half to even: (N, 2) as column, row; may lie outside the grid."""
    return ((boxes[:, :2] + boxes[:, 2:] / 2) * grid_size).round().long()


def make_score_maps(boxes: Tensor, grid_size: int) -> Tensor:
    """The maps the score branch is taught.

    Exactly 1 on the centre's cell, a Gaussian of sigma (2 r + 1) / 6 up to r = int(radius) cells around it. A centre
    outside the grid leaves no 1.

    Args:
        boxes: (N, 4) x, y, w, h as shares of the crop.
        grid_size: cells of a side.

    Returns:
        (N, grid, grid).
    """
    sides = (boxes[:, 2:] * grid_size).clamp_min(0)
    radius = gaussian_radius(sides[:, 0], sides[:, 1]).clamp_min(0).int()
    cells = torch.arange(grid_size, device=boxes.device)
    centres = find_center_cells(boxes, grid_size)
    columns = cells[None] - centres[:, :1]
    rows = cells[None] - centres[:, 1:]
    sigma = (2 * radius + 1)[:, None, None].double() / 6
    squares = rows[:, :, None] ** 2 + columns[:, None, :] ** 2
    near = (rows.abs() <= radius[:, None])[:, :, None] & (columns.abs() <= radius[:, None])[:, None, :]
    values = torch.exp(-squares / (2 * sigma**2))
    return torch.where(near, values, torch.zeros_like(values)).float()
