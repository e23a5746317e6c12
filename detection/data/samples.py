"""What the loaders hand to the detector, and what the detector hands to the metric."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from detection.data.ground_truth import InstanceMask, RleMask


class ImageTargets(NamedTuple):
    """The objects of a training image, crowds left out; there may be none.

    Attributes:
        boxes: left, top, right and bottom in pixels of the training image, (n, 4), float32.
        labels: category indices from 0, (n,), int64.
        masks: one per object, in pixels of the training image; ``None`` if the data set has boxes alone.
    """

    boxes: Tensor
    labels: Tensor
    masks: list[InstanceMask] | None


class TrainingImage(NamedTuple):
    """An augmented image: its index in the split, uint8 RGB pixels (3, height, width), not yet padded, its objects."""

    item: int
    image: Tensor
    targets: ImageTargets


class InferenceImage(NamedTuple):
    """A resized image to detect in: its index in the split, uint8 RGB pixels (3, h, w), and its own height and width.

    The detections are wanted in pixels of the original, whose size is ``original_size``.
    """

    item: int
    image: Tensor
    original_size: tuple[int, int]


class ImageDetections(NamedTuple):
    """What was found in an image, on the CPU, in the order of falling scores.

    Attributes:
        item: index of the image in the split.
        boxes: left, top, right and bottom in pixels of the original image, (n, 4), float32.
        scores: 0 to 1, (n,), float32.
        labels: category indices from 0, (n,), int64.
        masks: compressed run lengths at the size of the original image, one per detection; ``None`` without mask head.
        is_finite: whether all outputs of the network were finite numbers.
    """

    item: int
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: list[RleMask] | None
    is_finite: bool = True
