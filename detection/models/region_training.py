"""The losses of a detector: anchors and regions are matched with the objects, drawn, and compared with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from detection.data.samples import ImageTargets, TrainingImage
from detection.models.boxes import PROPOSAL_WEIGHTS, REGION_WEIGHTS, encode_deltas, find_nonempty
from detection.models.losses import (
    measure_box_loss,
    measure_class_loss,
    measure_mask_loss,
    measure_objectness_loss,
    sum_weighted,
    weigh_regions,
)
from detection.models.mask_targets import draw_mask_targets
from detection.models.proposals import AnchorScores
from detection.models.sampling import SampledBoxes, match_boxes, sample_boxes
from foundation.errors import DataError

_ANCHOR_IOU = (0.3, 0.7)
"""Below the first an anchor is background, from the second on it belongs to an object."""

_REGION_IOU = 0.5
_OBJECT_ANCHORS = 0.5
_OBJECT_REGIONS = 0.25
"""At most this fraction of the drawn regions belong to objects."""


class SampledRegions(NamedTuple):
    """The regions of an image that were drawn: first those of objects, then those of background.

    Attributes:
        boxes: left, top, right, bottom in pixels, (n, 4).
        objects: index of each region's object; 0 for background, (n,), int64.
        classes: index of its category, the number of categories for background, (n,), int64.
        num_positive: how many belong to objects.
    """

    boxes: Tensor
    objects: Tensor
    classes: Tensor
    num_positive: int


def require_valid_targets(samples: Sequence[TrainingImage], num_classes: int, has_masks: bool) -> None:
    """Require objects that can be trained.

    An object without area overlaps no anchor, so that all anchors would be its best ones, and the logarithm of its
    width is infinite.

    Args:
        samples: the images with their objects.
        num_classes: number of categories.
        has_masks: whether each object must have a mask.

    Raises:
        DataError: an object without area, of an unknown category, or without a mask.
    """
    for sample in samples:
        boxes, labels, masks = sample.targets
        where = f"training image {int(sample.item)}"
        if not bool(find_nonempty(boxes).all()):
            raise DataError(
                f"{where} has an object whose box has no area; leave such objects out (detection.data does)"
            )
        if len(labels) != len(boxes) or not bool(((labels >= 0) & (labels < num_classes)).all()):
            raise DataError(f"{where} needs one label from 0 to {num_classes - 1} for each of its {len(boxes)} objects")
        if has_masks and len(masks or ()) != len(boxes):
            raise DataError(
                f"{where} has {len(boxes)} objects and {len(masks or ())} masks; give each object a mask, or build the "
                "detector without a mask head"
            )


def sample_anchors(
    anchors: Tensor, samples: Sequence[TrainingImage], count: int, generators: Sequence[torch.Generator]
) -> tuple[list[SampledBoxes], list[Tensor]]:
    """Match the anchors of each image and draw some.

    Args:
        anchors: of all levels, (n, 4).
        samples: give the objects.
        count: anchors that are drawn per image.
        generators: the random numbers of each image.

    Returns:
        The drawn anchors of each image, and the index of each anchor's object.
    """
    drawn, objects = [], []
    for sample, generator in zip(samples, generators, strict=True):
        # each object keeps its best anchors, however little they overlap: a small one reaches 0.7 nowhere
        matched = match_boxes(anchors, sample.targets.boxes.to(anchors), *_ANCHOR_IOU, keep_best=True)
        drawn.append(sample_boxes(matched.kinds, count, _OBJECT_ANCHORS, generator))
        objects.append(matched.objects)
    return drawn, objects


def compute_proposal_losses(
    scores: AnchorScores, samples: Sequence[TrainingImage], count: int, generators: Sequence[torch.Generator]
) -> dict[str, Tensor]:
    """Compute the losses of the proposal network, each the sum over the drawn anchors / (``count`` * images).

    As the divisor grows with the images and not with what was drawn, groups of images do not matter here.

    Args:
        scores: of the anchors.
        samples: the images with their objects.
        count: anchors that are drawn per image.
        generators: the random numbers of each image.
    """
    anchors, logits, deltas = torch.cat(scores.anchors), torch.cat(scores.logits, 1), torch.cat(scores.deltas, 1)
    drawn, objects = sample_anchors(anchors, samples, count, generators)
    class_losses, box_losses = [], []
    for image, (sample, (positive, negative)) in enumerate(zip(samples, drawn, strict=True)):
        # objects come first, so that the first rows are true
        rows = torch.cat([positive, negative])
        is_object = torch.arange(len(rows), device=rows.device) < len(positive)
        class_losses.append(measure_objectness_loss(logits[image, rows], is_object).sum())
        boxes = sample.targets.boxes.to(anchors)[objects[image][positive]]
        targets = encode_deltas(anchors[positive], boxes, PROPOSAL_WEIGHTS)
        box_losses.append(measure_box_loss(deltas[image, positive], targets).sum())
    total = count * len(samples)
    return {
        "loss_rpn_cls": torch.stack(class_losses).sum() / total,
        "loss_rpn_loc": torch.stack(box_losses).sum() / total,
    }


def sample_regions(
    proposals: Tensor, targets: ImageTargets, num_classes: int, count: int, generator: torch.Generator
) -> SampledRegions:
    """Match the proposals of an image with its objects and draw some; the objects' own boxes are proposals too.

    Args:
        proposals: left, top, right, bottom in pixels, (n, 4).
        targets: the objects.
        num_classes: number of categories.
        count: regions that are drawn.
        generator: the random numbers of the image.
    """
    # early in a training hardly any proposal overlaps an object; the true boxes give the heads something to learn
    objects = targets.boxes.to(proposals)
    boxes = torch.cat([proposals, objects[find_nonempty(objects)]])
    matched = match_boxes(boxes, objects, _REGION_IOU, _REGION_IOU, keep_best=False)
    positive, negative = sample_boxes(matched.kinds, count, _OBJECT_REGIONS, generator)
    rows = torch.cat([positive, negative])
    labels = targets.labels.to(proposals.device)
    # background is the class behind the last category
    classes = torch.full_like(rows, num_classes)
    classes[: len(positive)] = labels[matched.objects[positive]]
    return SampledRegions(boxes[rows], matched.objects[rows], classes, len(positive))


def compute_region_losses(
    logits: Tensor, deltas: Tensor, regions: Sequence[SampledRegions], samples: Sequence[TrainingImage], norm_group: int
) -> dict[str, Tensor]:
    """Compute the losses of the box head: both are divided by the number of drawn regions, also that of the boxes.

    Args:
        logits: of the regions of all images, (n, classes + 1).
        deltas: encoded boxes, (n, classes, 4).
        regions: that were drawn, of each image.
        samples: the images with their objects.
        norm_group: see ``weigh_regions``.
    """
    # background counts too, so that the box loss does not depend on how many regions of objects were found
    counts = [len(each.boxes) for each in regions]
    weights = _repeat_weights(weigh_regions(counts, norm_group), counts, logits)
    classes = torch.cat([each.classes for each in regions])
    positive = torch.cat([torch.arange(len(each.boxes)) < each.num_positive for each in regions]).nonzero()[:, 0]
    positive = positive.to(logits.device)
    boxes = torch.cat(
        [
            sample.targets.boxes.to(each.boxes)[each.objects[: each.num_positive]]
            for each, sample in zip(regions, samples, strict=True)
        ]
    )
    references = torch.cat([each.boxes for each in regions])[positive]
    targets = encode_deltas(references, boxes, REGION_WEIGHTS)
    # the encoded box of the region's own class
    own = deltas[positive, classes[positive]]
    return {
        "loss_cls": sum_weighted(measure_class_loss(logits, classes), weights),
        "loss_box_reg": sum_weighted(measure_box_loss(own, targets), weights[positive]),
    }


def compute_mask_losses(
    logits: Tensor, regions: Sequence[SampledRegions], samples: Sequence[TrainingImage], norm_group: int
) -> dict[str, Tensor]:
    """Compute the loss of the mask head over the regions of objects.

    Args:
        logits: of the regions of objects of all images, (n, classes, side, side).
        regions: that were drawn, of each image.
        samples: the images with their objects.
        norm_group: see ``weigh_regions``.
    """
    counts = [each.num_positive for each in regions]
    weights = _repeat_weights(weigh_regions(counts, norm_group), counts, logits)
    classes = torch.cat([each.classes[: each.num_positive] for each in regions])
    targets = [
        draw_mask_targets(
            sample.targets.masks or [],
            each.objects[: each.num_positive],
            each.boxes[: each.num_positive],
            logits.shape[-1],
        )
        for each, sample in zip(regions, samples, strict=True)
    ]
    # without an object the sum is 0, and so are all gradients, which distributed training waits for
    return {"loss_mask": sum_weighted(measure_mask_loss(logits, classes, torch.cat(targets)), weights)}


def _repeat_weights(weights: Sequence[float], counts: Sequence[int], like: Tensor) -> Tensor:
    """Return the weight of each region of all images, from that of the regions of each image."""
    # in double precision first: the weights are quotients of integers
    each = torch.tensor(weights, dtype=torch.float64).repeat_interleave(torch.tensor(counts))
    return each.to(device=like.device, dtype=torch.float64 if like.dtype == torch.float64 else torch.float32)
