"""The three losses of a centre head: focal on the score map, GIoU and L1 on boxes."""

from __future__ import annotations

import torch
from torch import Tensor


def focal_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """CornerNet's penalty-reduced focal loss (alpha 2, beta 4), summed and divided by the number of exact 1s.

    Args:
        scores: predictions strictly between 0 and 1.
        targets: the same shape, 0 to 1.

    Returns:
        A scalar; the plain sum where no target is 1.
    """
    hit = targets.eq(1)
    positive = (scores.log() * (1 - scores) ** 2)[hit].sum()
    negative = ((1 - scores).log() * scores**2 * (1 - targets) ** 4)[~hit].sum()
    return -(positive + negative) / hit.sum().clamp_min(1)


def giou_loss(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of 1 - GIoU over box pairs, and each pair's IoU.

    Args:
        predicted, target: (N, 4) corners x1, y1, x2, y2.
    """
    start, end = torch.maximum(predicted[:, :2], target[:, :2]), torch.minimum(predicted[:, 2:], target[:, 2:])
    common = (end - start).clamp_min(0).prod(1)
    union = _box_area(predicted) + _box_area(target) - common
    hull_start, hull_end = (
        torch.minimum(predicted[:, :2], target[:, :2]),
        torch.maximum(predicted[:, 2:], target[:, 2:]),
    )
    hull = (hull_end - hull_start).clamp_min(0).prod(1)
    tiny = torch.finfo(predicted.dtype).tiny  # two points in one place
    overlap = common / union.clamp_min(tiny)
    return (1 - overlap + (hull - union) / hull.clamp_min(tiny)).mean(), overlap


def _box_area(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).clamp_min(0).prod(1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Corners x1, y1, x2, y2 of boxes given as centre x, centre y, w, h."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)
