"""Large-scale jitter as in ViTDet (arXiv 2203.16527): flip, resize, crop; images and objects move together.

Random numbers come from numpy's global state, which ``engine.seeding.SeededDataset`` seeds for each item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from detection.data.ground_truth import InstanceMask, RleMask
from detection.recipe import DetectionAugmentation

MIN_SIDE = 1e-5
"""Objects whose box has a shorter side, in pixels, are dropped after the crop, as in detectron2."""


class ObjectColumns(NamedTuple):
    """The objects of an image.

    Attributes:
        boxes: left, top, right, bottom in pixels, (n, 4), float64.
        labels: category indices, (n,), int64.
        masks: the mask of each; ``None`` if there are boxes alone.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    masks: list[InstanceMask] | None


@dataclass(frozen=True)
class JitterPlan:
    """What happens to an image, in this order.

    Attributes:
        old_size: height and width of the image, pixels.
        is_flipped: whether it is mirrored from left to right.
        new_size: height and width that it is resized to, pixels.
        offset: row and column of the resized image where the crop begins, pixels.
        crop: height and width of the crop, pixels.
    """

    old_size: tuple[int, int]
    is_flipped: bool
    new_size: tuple[int, int]
    offset: tuple[int, int]
    crop: tuple[int, int]

    @property
    def factors(self) -> tuple[float, float]:
        """By what x and y are multiplied."""
        return self.new_size[1] / self.old_size[1], self.new_size[0] / self.old_size[0]


def fit_size(height: int, width: int, side: float) -> tuple[int, int]:
    """Return the largest size of the same aspect ratio that fits into a square, rounded, at least 1 pixel.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        side: of the square, pixels.

    >>> fit_size(427, 640, 640), fit_size(480, 640, 64)
    ((427, 640), (48, 64))
    """
    factor = min(side / height, side / width)
    # np.round, as detectron2: halves go to the even number
    return max(int(np.round(height * factor)), 1), max(int(np.round(width * factor)), 1)


def draw_jitter(height: int, width: int, size: int, settings: DetectionAugmentation) -> JitterPlan:
    """Draw what happens to an image.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        size: side of the square that crops fit into, pixels.
        settings: probability of a flip and range of the scale.
    """
    is_flipped = bool(np.random.uniform() < settings.flip)
    new_size = fit_size(height, width, size * float(np.random.uniform(settings.scale[0], settings.scale[1])))
    crop = (min(new_size[0], size), min(new_size[1], size))
    # detectron2 draws one number for both axes, so crops lie on the diagonal of the slack
    place = np.random.uniform()
    row, column = (int(np.round((whole - part) * place)) for whole, part in zip(new_size, crop, strict=True))
    return JitterPlan((height, width), is_flipped, new_size, (row, column), crop)


def transform_image(image: Image.Image, plan: JitterPlan) -> NDArray[np.uint8]:
    """Return the crop of an image, (height, width, 3), uint8 RGB; resized by Pillow, bilinear with antialiasing.

    Args:
        image: the whole image.
        plan: what happens to it.
    """
    if plan.is_flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if plan.new_size != plan.old_size:
        image = image.resize(plan.new_size[::-1], Image.Resampling.BILINEAR)
    row, column = plan.offset
    return np.asarray(image, np.uint8)[row : row + plan.crop[0], column : column + plan.crop[1]]


def transform_objects(objects: ObjectColumns, plan: JitterPlan) -> ObjectColumns:
    """Move the objects of an image with it; those of which nothing is left are dropped.

    With masks, boxes are computed again from what the crop leaves of the masks; without, boxes are cut off.

    Args:
        objects: in pixels of the whole image.
        plan: what happens to the image.
    """
    if objects.masks is None:
        boxes = _clip_boxes(_move_boxes(objects.boxes, plan), plan.crop)
        kept = _find_large(boxes)
        return ObjectColumns(boxes[kept], objects.labels[kept], None)
    # cutting a box off would keep the width of parts that the crop has removed
    masks = [transform_mask(mask, plan) for mask in objects.masks]
    boxes = np.array([bound_mask(mask, plan.crop) for mask in masks], np.float64).reshape(-1, 4)
    kept = _find_large(boxes)
    return ObjectColumns(
        boxes[kept], objects.labels[kept], [mask for mask, keep in zip(masks, kept, strict=True) if keep]
    )


def _find_large(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2] > MIN_SIDE).all(1))


def _move_boxes(boxes: NDArray[np.float64], plan: JitterPlan) -> NDArray[np.float64]:
    moved = boxes.copy()
    if plan.is_flipped:
        # right and left change places, so that left stays the smaller one
        moved[:, [0, 2]] = plan.old_size[1] - boxes[:, [2, 0]]
    return np.asarray(moved * (plan.factors * 2) - (plan.offset[::-1] * 2), np.float64)


def _clip_boxes(boxes: NDArray[np.float64], crop: tuple[int, int]) -> NDArray[np.float64]:
    return np.clip(boxes, 0, [crop[1], crop[0]] * 2)


def transform_mask(mask: InstanceMask, plan: JitterPlan) -> InstanceMask:
    """Move a mask with its image: polygons as polygons, run lengths as a bitmap with the nearest pixel.

    Args:
        mask: in pixels of the whole image.
        plan: what happens to the image.

    Returns:
        In pixels of the crop; a list without polygons if nothing is left of them.
    """
    if isinstance(mask, dict):
        return _transform_bitmap(mask, plan)
    found = []
    for outline in mask:
        points = outline.copy()
        if plan.is_flipped:
            points[:, 0] = plan.old_size[1] - points[:, 0]
        # factors of the rounded sizes, not of the drawn scale: outlines stay on the pixels that Pillow makes
        cut = clip_polygon(points * plan.factors - plan.offset[::-1], plan.crop)
        if len(cut) >= 3 and measure_polygon(cut) > 0:
            found.append(cut)
    return found


def _transform_bitmap(mask: RleMask, plan: JitterPlan) -> RleMask:
    bitmap = Image.fromarray(np.asarray(coco_mask.decode(mask), np.uint8))
    if plan.is_flipped:
        bitmap = bitmap.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if plan.new_size != plan.old_size:
        # the nearest pixel keeps a mask of zeros and ones
        bitmap = bitmap.resize(plan.new_size[::-1], Image.Resampling.NEAREST)
    row, column = plan.offset
    crop = np.asarray(bitmap)[row : row + plan.crop[0], column : column + plan.crop[1]]
    packed: RleMask = coco_mask.encode(np.asfortranarray(crop))
    return packed


def clip_polygon(points: NDArray[np.float64], crop: tuple[int, int]) -> NDArray[np.float64]:
    """Cut a polygon off at the border of a crop (Sutherland and Hodgman, 1974).

    A polygon that the border cuts into several parts stays one polygon, whose parts are joined along the border by
    lines without area. Its pixels are those of the parts; its corners may be too many (``bound_mask``).

    Args:
        points: x and y, (points, 2).
        crop: height and width of the crop, pixels.

    Returns:
        x and y, (points, 2); no points if nothing is left.
    """
    for axis, limit, sign in ((0, 0.0, 1), (0, float(crop[1]), -1), (1, 0.0, 1), (1, float(crop[0]), -1)):
        if not len(points):
            break
        # how far each point lies within this side of the border
        depth = sign * (points[:, axis] - limit)
        if (depth >= 0).all():
            continue
        following, after = np.roll(points, -1, 0), np.roll(depth, -1)
        is_inside, crosses = depth >= 0, (depth >= 0) != (after >= 0)
        share = np.divide(depth, depth - after, out=np.zeros_like(depth), where=crosses)
        meeting = points + share[:, None] * (following - points)
        # exactly on the border, where rounding would leave it beside
        meeting[:, axis] = limit
        # each point that is inside, and behind it the point where the edge from it crosses the border
        pairs = np.stack([points, meeting], 1).reshape(-1, 2)
        points = pairs[np.stack([is_inside, crosses], 1).ravel()]
    return points


def measure_polygon(points: NDArray[np.float64]) -> float:
    """Return the area of a polygon, (points, 2), in square pixels (shoelace formula)."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def bound_mask(mask: InstanceMask, crop: tuple[int, int]) -> list[float]:
    """Return left, top, right and bottom of a mask in pixels; zeros if it is empty.

    The lines that join the parts of a cut polygon may run through a corner of the crop where nothing of the object is;
    detectron2, which cuts the parts off one by one, has no such corner, and its box is smaller.

    Args:
        mask: in pixels of the crop, as ``transform_mask`` returns it.
        crop: height and width of the crop, pixels.
    """
    if isinstance(mask, dict):
        left, top, width, height = (float(value) for value in coco_mask.toBbox(mask))
        return [left, top, left + width, top + height]
    if not mask:
        return [0.0] * 4
    points = np.concatenate([_drop_empty_corners(outline, crop) for outline in mask])
    return [float(value) for value in (*points.min(0), *points.max(0))]


def _drop_empty_corners(points: NDArray[np.float64], crop: tuple[int, int]) -> NDArray[np.float64]:
    """Leave out the points in corners of a crop beside which a cut polygon, (points, 2), has no area.

    All other points that cutting adds lie on an edge of the polygon itself.
    """
    limits = np.array([crop[1], crop[0]], np.float64)
    is_corner = ((points == 0) | (points == limits)).all(1)
    # where an edge leaves a corner for the inside, the polygon itself has a point there
    for shift in (1, -1):
        is_corner &= (points == np.roll(points, shift, 0)).any(1)
    kept = np.ones(len(points), bool)
    for index in np.nonzero(is_corner)[0]:
        # a millionth of the way to the middle: as good as the corner, but on no line along the border
        x, y = points[index] + (limits / 2 - points[index]) * 1e-6
        kept[index] = _is_inside(points, x, y)
    return points[kept]


def _is_inside(points: NDArray[np.float64], x: float, y: float) -> bool:
    """Return whether a ray to the right from (x, y) crosses a polygon, (points, 2), an odd number of times."""
    (start_x, start_y), (end_x, end_y) = points.T, np.roll(points, -1, 0).T
    crosses = (start_y > y) != (end_y > y)
    # a line there and back is crossed twice
    share = np.divide(y - start_y, end_y - start_y, out=np.zeros_like(start_y), where=crosses)
    return bool(np.count_nonzero(crosses & (start_x + share * (end_x - start_x) > x)) % 2)
