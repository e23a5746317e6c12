"""Which anchors and regions are trained: matched to the objects of their image, then drawn at random."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from engine.seeding import derive_seed


class MatchedBoxes(NamedTuple):
    """What a set of boxes of an image is matched to.

    Attributes:
        objects: index of the matched object of each box, (n,), int64; 0 where none is.
        kinds: 1 for boxes of an object, 0 for background, -1 for boxes that are not trained, (n,), int64.
    """

    objects: Tensor
    kinds: Tensor


class SampledBoxes(NamedTuple):
    """The indices of the boxes of an image that were drawn: those of objects, and those of background."""

    positive: Tensor
    negative: Tensor


def match_boxes(boxes: Tensor, objects: Tensor, low: float, high: float, keep_best: bool) -> MatchedBoxes:
    """Match each box with the object that it overlaps most.

    Args:
        boxes: left, top, right, bottom in pixels, (n, 4).
        objects: the same for the objects, (m, 4); there may be none.
        low: below this IoU a box is background.
        high: from this IoU on a box belongs to the object; between the two it is not trained.
        keep_best: whether the boxes with the highest IoU of an object belong to their object, however low it is.
    """
    # torchvision's matcher refuses to match nothing
    if not len(objects) or not len(boxes):
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return MatchedBoxes(none, none)
    found = Matcher(high, low, allow_low_quality_matches=keep_best)(box_iou(objects, boxes))
    # torchvision's codes: -1 is background, -2 lies between the two thresholds
    kinds = torch.where(found >= 0, 1, torch.where(found == Matcher.BELOW_LOW_THRESHOLD, 0, -1))
    return MatchedBoxes(found.clamp(min=0), kinds)


def sample_boxes(kinds: Tensor, count: int, positive_fraction: float, generator: torch.Generator) -> SampledBoxes:
    """Draw boxes of an image at random, without repetition.

    Args:
        kinds: see ``MatchedBoxes``.
        count: how many are drawn, if there are enough.
        positive_fraction: at most this fraction are boxes of objects.
        generator: on the CPU, so that the draw does not depend on the device.
    """
    drawn = []
    left = count
    for kind, most in ((1, int(count * positive_fraction)), (0, count)):
        # background fills up what objects leave: with few objects it is more than its share
        candidates = (kinds == kind).nonzero()[:, 0]
        order = torch.randperm(len(candidates), generator=generator)[: min(most, left)]
        drawn.append(candidates[order.to(candidates.device)])
        left -= len(drawn[-1])
    return SampledBoxes(drawn[0], drawn[1])


def make_image_generator(item: int) -> torch.Generator:
    """Return the random numbers of an image in this step of the training.

    The seed is derived from the one that the engine sets at each iteration (``engine.seeding.ReseedHook``) and from the
    image. So the draw depends neither on the other images of a micro-batch nor on the number of processes, and a
    resumed run continues with the same numbers.

    Args:
        item: index of the image.
    """
    generator = torch.Generator()
    generator.manual_seed(derive_seed(torch.initial_seed(), item))
    return generator
