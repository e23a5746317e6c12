"""The losses of a Mask R-CNN as detectron2 computes them; what each is divided by depends on groups of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from detection.models.boxes import keep_precision
from engine.training_checks.batch_norm import count_norm_groups


def weigh_regions(counts: list[int], norm_group: int) -> list[float]:
    """Return the weight of each region of an image, so that the sum over regions is the mean over groups.

    In the papers each GPU divides the loss of its 8 images by the number of their regions, and the gradients of the
    GPUs are averaged. Here groups of images stand for GPUs: a region of group g weighs (images of g / all images) /
    (regions of g). Then neither micro-batches nor processes change the loss, as long as they hold whole groups.

    Args:
        counts: number of regions of each image.
        norm_group: largest number of images in a group; image i belongs to group ``i % groups``
            (``engine.training_checks.batch_norm.count_norm_groups``).

    >>> weigh_regions([1, 4, 3, 0], norm_group=2)
    [0.125, 0.125, 0.125, 0.125]
    """
    groups = count_norm_groups(len(counts), norm_group)
    parts = [counts[group::groups] for group in range(groups)]
    # a group without regions has nothing to weigh; the 1 only avoids 0 / 0
    weights = [len(part) / len(counts) / max(sum(part), 1) for part in parts]
    return [weights[image % groups] for image in range(len(counts))]


def sum_weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of values times weights, 0 with a gradient of 0 if there are none; both have the shape (n,)."""
    return (values * weights.to(values.dtype)).sum()


def measure_objectness_loss(logits: Tensor, is_object: Tensor) -> Tensor:
    """Return the binary cross-entropy of each anchor.

    Args:
        logits: shape (n,).
        is_object: 0 or 1, shape (n,).
    """
    logits = keep_precision(logits)
    return functional.binary_cross_entropy_with_logits(logits, is_object.to(logits.dtype), reduction="none")


def measure_box_loss(deltas: Tensor, targets: Tensor) -> Tensor:
    """Return the L1 distance of encoded boxes, summed over the four numbers; torchvision's is smooth near 0.

    Args:
        deltas: encoded boxes, shape (n, 4).
        targets: encoded true boxes, shape (n, 4).
    """
    return (keep_precision(deltas) - targets).abs().sum(1)


def measure_class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the cross-entropy of each region.

    Args:
        logits: shape (n, classes + 1), background last.
        classes: shape (n,), int64.
    """
    return functional.cross_entropy(keep_precision(logits), classes, reduction="none")


def measure_mask_loss(logits: Tensor, classes: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of the mask of each region's own class, the mean over its cells.

    Args:
        logits: shape (n, classes, side, side).
        classes: shape (n,), int64.
        targets: whether each cell belongs to the object, shape (n, side, side).
    """
    # the other classes' masks are not trained: classification is the box head's part
    own = keep_precision(logits)[torch.arange(len(logits), device=logits.device), classes]
    return functional.binary_cross_entropy_with_logits(own, targets.to(own.dtype), reduction="none").mean((1, 2))
