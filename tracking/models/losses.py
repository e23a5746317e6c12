"""The three losses of a center head: focal loss on the score map, GIoU and L1 loss on boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.training_checks.batch_norm import count_norm_groups


def average_group_loss(scores: Tensor, targets: Tensor, norm_group: int) -> Tensor:
    """Compute the mean over groups of pairs of their focal losses, each normalized by its own group's cells.

    So does OSTrack, where each GPU normalizes the loss of its 32 pairs by their number of centers, and the gradients of
    the GPUs are averaged. Groups of unequal size count by their number of pairs.

    Args:
        scores: predictions strictly between 0 and 1, shape (n, G, G).
        targets: values from 0 to 1, of the same shape.
        norm_group: largest number of pairs in a group, see ``engine.training_checks.batch_norm.count_norm_groups``.
    """
    count = count_norm_groups(len(scores), norm_group)
    parts = [(scores[group::count], targets[group::count]) for group in range(count)]
    return torch.stack([focal_loss(*part) * (len(part[0]) / len(scores)) for part in parts]).sum()


def focal_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Compute the penalty-reduced focal loss of CornerNet (alpha 2, beta 4).

    With scores p and targets t it is the sum of -(1 - p)^2 log(p) where t = 1 and of -(1 - t)^4 p^2 log(1 - p)
    elsewhere, divided by the number of cells with t = 1.

    Args:
        scores: predictions strictly between 0 and 1, of any shape.
        targets: values from 0 to 1, of the same shape.

    Returns:
        A scalar; the sum itself if no target is 1.
    """
    # make_score_maps sets an exact 1 at the center's cell, so equality is safe
    hit = targets.eq(1)
    positive = (scores.log() * (1 - scores) ** 2)[hit].sum()
    negative = ((1 - scores).log() * scores**2 * (1 - targets) ** 4)[~hit].sum()
    return -(positive + negative) / hit.sum().clamp_min(1)


def giou_loss(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean of 1 - GIoU over pairs of boxes, and the IoU of each pair.

    Args:
        predicted: corners x1, y1, x2, y2, shape (n, 4).
        target: the same for the true boxes.

    Returns:
        The mean loss, a scalar, and the IoU, shape (n,).
    """
    losses, overlap = compute_giou_losses(predicted, target)
    return losses.mean(), overlap


def compute_giou_losses(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Compute 1 - GIoU and IoU of each pair of boxes (Rezatofighi et al., CVPR 2019).

    GIoU = IoU - (hull - union) / hull, where the hull is the smallest box around both.

    Args:
        predicted: corners x1, y1, x2, y2, shape (n, 4).
        target: the same for the true boxes.

    Returns:
        1 - GIoU and IoU, shape (n,) each.
    """
    start, end = torch.maximum(predicted[:, :2], target[:, :2]), torch.minimum(predicted[:, 2:], target[:, 2:])
    # boxes that do not overlap have a negative side
    common = (end - start).clamp_min(0).prod(1)
    union = _box_area(predicted) + _box_area(target) - common
    hull_start, hull_end = (
        torch.minimum(predicted[:, :2], target[:, :2]),
        torch.maximum(predicted[:, 2:], target[:, 2:]),
    )
    hull = (hull_end - hull_start).clamp_min(0).prod(1)
    tiny = torch.finfo(predicted.dtype).tiny  # two boxes without area at one point would give 0 / 0
    overlap = common / union.clamp_min(tiny)
    return 1 - overlap + (hull - union) / hull.clamp_min(tiny), overlap


def _box_area(corners: Tensor) -> Tensor:
    """Return the area of boxes x1, y1, x2, y2; 0 if a side is negative."""
    return (corners[:, 2:] - corners[:, :2]).clamp_min(0).prod(1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert boxes from center x, center y, width, height to corners x1, y1, x2, y2.

    Args:
        boxes: shape (..., 4), in any unit.
    """
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([center - half, center + half], -1)
