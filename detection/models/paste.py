"""Masks of regions, pasted into their image and packed into run lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from detection.data.ground_truth import RleMask

_THRESHOLD = 0.5


def paste_masks(masks: NDArray[np.float32], boxes: NDArray[np.float32], size: tuple[int, int]) -> list[RleMask]:
    """Paste masks into an image, one after the other, and pack each at once: a whole image per mask needs much memory.

    Args:
        masks: probabilities, (n, side, side).
        boxes: left, top, right, bottom in pixels of the image, not rounded, (n, 4).
        size: height and width of the image in pixels.

    Returns:
        Compressed run lengths of the pixels whose probability is at least 0.5.
    """
    packed: list[RleMask] = []
    canvas = np.zeros(size, np.uint8, order="F")  # COCO's run lengths go down the columns
    for mask, box in zip(masks, boxes, strict=True):
        rows, columns, values = sample_mask(mask, box, size)
        canvas[rows, columns] = values >= _THRESHOLD
        packed.append(coco_mask.encode(canvas))
        canvas[rows, columns] = 0  # cheaper than a new canvas for each mask
    return packed


def sample_mask(
    mask: NDArray[np.float32], box: NDArray[np.float32], size: tuple[int, int]
) -> tuple[slice, slice, NDArray[np.float64]]:
    """Sample a mask bilinearly at the centers of the pixels that its box touches.

    It equals torch's ``grid_sample`` with align_corners False and zeros outside: cell i of the mask has its center at
    (i + 0.5) / side of the box. As a bilinear sample is a product of two linear ones, it is computed with one matrix
    per axis.

    Args:
        mask: probabilities, (side, side).
        box: left, top, right, bottom in pixels of the image.
        size: height and width of the image in pixels.

    Returns:
        The rows and the columns of the image that the samples belong to, and the samples.
    """
    down, rows = _weigh_cells(float(box[1]), float(box[3]), mask.shape[0], size[0])
    across, columns = _weigh_cells(float(box[0]), float(box[2]), mask.shape[1], size[1])
    return rows, columns, down @ mask @ across.T


def _weigh_cells(start: float, end: float, cells: int, pixels: int) -> tuple[NDArray[np.float64], slice]:
    """Return the weight of each cell for each pixel of a line, and which pixels these are."""
    # half a cell beyond the box the samples fall to zero
    margin = (end - start) / cells / 2
    first, last = max(int(np.floor(start - margin)), 0), min(int(np.ceil(end + margin)), pixels)
    # a box beyond the border has no pixels, and the range is empty
    centers = np.arange(first, max(first, last)) + 0.5
    positions = (centers - start) / max(end - start, 1e-9) * cells - 0.5
    # a cell's weight falls linearly to 0 at its neighbors' centers
    weights = np.maximum(1 - np.abs(positions[:, None] - np.arange(cells)), 0)
    return weights, slice(first, max(first, last))
