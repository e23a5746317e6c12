"""Large-scale jitter: sizes and crops by hand, objects that move with their image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from detection.data.augmentation import (
    JitterPlan,
    ObjectColumns,
    bound_mask,
    clip_polygon,
    draw_jitter,
    fit_size,
    measure_polygon,
    transform_image,
    transform_mask,
    transform_objects,
)
from detection.data.instance_masks import pack_mask
from detection.recipe import DetectionAugmentation

SQUARE = np.array([[2.0, 3], [12, 3], [12, 8], [2, 8]])


def test_sizes_are_rounded_as_in_detectron2() -> None:
    assert fit_size(427, 640, 640) == (427, 640)
    assert fit_size(640, 427, 640) == (640, 427)
    # sides of 154 px and a square of 640: torchvision's floor gives 639
    assert fit_size(154, 154, 640) == (640, 640)
    assert fit_size(3, 2000, 64) == (1, 64), "never less than a pixel"


def test_one_number_places_the_crop_on_both_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([0.7, 2.0, 0.25])  # no flip, twice the square, a quarter of the slack
    monkeypatch.setattr(np.random, "uniform", lambda *_: next(numbers))
    plan = draw_jitter(100, 200, 64, DetectionAugmentation())
    # 100 x 200 fits into 128 x 128 as 64 x 128: no slack in y, 64 px in x
    assert plan == JitterPlan((100, 200), False, (64, 128), (0, 16), (64, 64))


def test_a_small_image_is_not_filled_up() -> None:
    np.random.seed(0)
    plan = draw_jitter(100, 200, 64, DetectionAugmentation(scale=[0.5, 0.5]))
    assert plan.new_size == plan.crop == (16, 32) and plan.offset == (0, 0)


def test_an_image_is_flipped_before_it_is_resized_and_cut() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    plan = JitterPlan((6, 8), True, (6, 8), (1, 2), (4, 5))
    np.testing.assert_array_equal(transform_image(Image.fromarray(pixels), plan), pixels[:, ::-1][1:5, 2:7])


def test_boxes_are_moved_and_cut_off_by_hand() -> None:
    # 20 x 40 px, mirrored, doubled, 30 x 50 px from row 4 and column 10 on
    plan = JitterPlan((20, 40), True, (40, 80), (4, 10), (30, 50))
    objects = ObjectColumns(np.array([[2.0, 3, 12, 8], [36, 0, 40, 1]]), np.array([5, 6]), None)
    found = transform_objects(objects, plan)
    # x: 40 - 12 = 28 to 38, doubled 56 to 76, minus 10: 46 to 66, cut at 50; y: 6 to 16, minus 4
    assert found.boxes.tolist() == [[46, 2, 50, 12]] and found.labels.tolist() == [5]


def test_boxes_follow_what_the_crop_leaves_of_a_mask() -> None:
    """A triangle whose tip is cut off has another box than its box cut off."""
    triangle = np.array([[0.0, 0], [20, 0], [0, 20]])
    plan = JitterPlan((20, 20), False, (20, 20), (10, 0), (10, 20))
    objects = ObjectColumns(np.array([[0.0, 0, 20, 20]]), np.array([0]), [[triangle]])
    assert transform_objects(objects, plan).boxes.tolist() == [[0, 0, 10, 10]]
    without_masks = transform_objects(objects._replace(masks=None), plan)
    assert without_masks.boxes.tolist() == [[0, 0, 20, 10]]


def test_a_polygon_is_clipped_by_hand() -> None:
    assert clip_polygon(SQUARE, (20, 40)).tolist() == SQUARE.tolist(), "inside"
    assert len(clip_polygon(SQUARE + 100, (20, 40))) == 0, "outside"
    assert measure_polygon(clip_polygon(SQUARE, (5, 40))) == 10 * 2
    # a U whose bottom is cut off: two prongs of 2 x 6 px, joined by a line without area
    u = np.array([[0.0, 0], [2, 0], [2, 8], [6, 8], [6, 0], [8, 0], [8, 10], [0, 10]])
    cut = clip_polygon(u, (6, 20))
    assert measure_polygon(cut) == 24 and bound_mask([cut], (6, 20)) == [0, 0, 8, 6]


def test_boxes_of_cut_polygons_ignore_corners_without_area() -> None:
    """A bracket around the top left corner of the crop: one arm is inside, the other one and their joint are cut off.

    By hand: the lower arm is x 0 to 10, y 5 to 8 of the crop. Its outline goes on along the border to the corner (0, 0)
    and, under the upper arm, to (10, 0), and back.
    """
    bracket = np.array([[-6.0, -6], [10, -6], [10, -4], [-4, -4], [-4, 5], [10, 5], [10, 8], [-6, 8]]) + 10
    objects = ObjectColumns(np.zeros((1, 4)), np.array([0]), [[bracket]])
    plan = JitterPlan((40, 40), False, (40, 40), (10, 10), (30, 30))
    assert transform_objects(objects, plan).boxes.tolist() == [[0, 5, 10, 8]]
    # mirrored and turned, so that each corner of the crop has its turn
    for turn in range(4):
        for outline in (bracket, bracket[::-1]):
            around = outline - 10
            for _ in range(turn):
                around = np.stack([30 - around[:, 1], around[:, 0]], 1)
            cut = clip_polygon(around, (30, 30))
            left, top, width, height = coco_mask.toBbox(pack_mask([cut], 30, 30))
            assert bound_mask([cut], (30, 30)) == [left, top, left + width, top + height]
    # a corner that the object does cover stays
    cover = np.array([[-5.0, -5], [9, -5], [9, 7], [-5, 7]])
    assert bound_mask([clip_polygon(cover, (30, 30))], (30, 30)) == [0, 0, 9, 7]


@pytest.mark.parametrize("as_bitmap", [False, True], ids=["polygons", "run lengths"])
def test_masks_are_those_of_the_warped_picture(as_bitmap: bool) -> None:
    """Independent of the code: the mask is drawn as a picture, and the picture is flipped, resized and cut."""
    rng, settings = np.random.default_rng(1), DetectionAugmentation(scale=[0.4, 2.0])
    np.random.seed(1)
    agreement = []
    for _ in range(40):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
        points = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(30, 60, (9, 1)) + [80, 60]
        whole = np.asarray(coco_mask.decode(pack_mask([points], 120, 160)))
        plan = draw_jitter(120, 160, 128, settings)
        mask = coco_mask.encode(np.asfortranarray(whole)) if as_bitmap else [points]
        moved = transform_mask(mask, plan)
        found = np.asarray(coco_mask.decode(pack_mask(moved, *plan.crop))) if moved else np.zeros(plan.crop, np.uint8)
        picture = whole[:, ::-1].astype(np.float32) if plan.is_flipped else whole.astype(np.float32)
        way = cv2.INTER_LINEAR if plan.factors[0] > 1 else cv2.INTER_AREA
        warped = cv2.resize(picture, plan.new_size[::-1], interpolation=way)
        row, column = plan.offset
        expected = warped[row : row + plan.crop[0], column : column + plan.crop[1]] >= 0.5
        if expected.sum() > 300:
            agreement.append((expected & (found > 0)).sum() / (expected | (found > 0)).sum())
    # the rest are pixels on outlines: a polygon's half pixels, and those that "nearest" chooses
    assert len(agreement) > 25 and min(agreement) > 0.9 and np.mean(agreement) > 0.95


def test_objects_without_remains_are_dropped() -> None:
    plan = JitterPlan((20, 40), False, (20, 40), (0, 20), (20, 20))
    objects = ObjectColumns(np.array([[2.0, 3, 12, 8]] * 2), np.array([0, 1]), [[SQUARE], [SQUARE + np.array([20, 0])]])
    found = transform_objects(objects, plan)
    assert found.labels.tolist() == [1] and found.masks is not None and len(found.masks) == 1
