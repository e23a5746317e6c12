"""The true masks of regions, as 0 and 1 on the grid of the mask head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from detection.data.ground_truth import InstanceMask, PolygonMask
from detection.models.regions import pool_aligned

_SMALLEST_SIDE = 0.1
"""Sides of a box below this many pixels count as this many, so that a scale stays finite (as in detectron2)."""


def draw_mask_targets(masks: Sequence[InstanceMask], objects: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Draw the mask of each region's object within the region's box.

    Args:
        masks: of the objects of an image, in pixels of the training image.
        objects: index of each region's object, (n,), int64.
        boxes: of the regions, left, top, right, bottom in pixels, (n, 4).
        side: of the result in cells.

    Returns:
        Shape (n, side, side), bool, on the device of the boxes.
    """
    targets = torch.zeros(len(boxes), side, side, dtype=torch.bool)
    # pycocotools works on the CPU, and there are at most a quarter of the sampled regions
    corners, indices = boxes.detach().cpu().double(), objects.tolist()
    for number in sorted(set(indices)):
        mask = masks[number]
        rows = [row for row, index in enumerate(indices) if index == number]
        if isinstance(mask, dict):
            # an object's bitmap is unpacked once, for all its regions
            targets[rows] = crop_bitmap(np.asarray(coco_mask.decode(mask)), corners[rows], side)
        else:
            for row in rows:
                targets[row] = torch.from_numpy(rasterize_polygons(mask, corners[row].numpy(), side))
    return targets.to(boxes.device)


def rasterize_polygons(polygons: PolygonMask, box: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
    """Draw an object within a box: its outlines are moved and scaled first, so that no pixels of the image round them.

    Args:
        polygons: outlines of the object in pixels of the image.
        box: left, top, right, bottom in pixels.
        side: of the result in cells.

    Returns:
        Shape (side, side).
    """
    sides = np.maximum(box[2:] - box[:2], _SMALLEST_SIDE)
    moved = [((np.asarray(outline) - box[:2]) * (side / sides)).ravel().tolist() for outline in polygons]
    # the parts of an object are united, so that holes are filled, as in COCO's own masks
    parts = coco_mask.frPyObjects(moved, side, side)
    return np.asarray(coco_mask.decode(coco_mask.merge(parts))).astype(bool)


def crop_bitmap(bitmap: NDArray[np.uint8], boxes: Tensor, side: int) -> Tensor:
    """Resample a bitmap within boxes with aligned RoIAlign; a cell from 0.5 on belongs to the object.

    Args:
        bitmap: 0 and 1, (height, width).
        boxes: left, top, right, bottom in pixels, (n, 4).
        side: of the result in cells.

    Returns:
        Shape (n, side, side), bool.
    """
    values = torch.from_numpy(np.ascontiguousarray(bitmap)).to(boxes.dtype)[None, None]
    # the only map is number 0
    regions = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], 1)
    return pool_aligned(values, regions, 1.0, side)[:, 0] >= 0.5
