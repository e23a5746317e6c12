"""Mask targets and pasted masks against hand-computed cases and torch's grid_sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch.nn import functional

from detection.models.mask_targets import crop_bitmap, draw_mask_targets, rasterize_polygons
from detection.models.paste import paste_masks, sample_mask


def pack(bitmap: np.ndarray) -> Any:
    return coco_mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))


def test_a_polygon_is_drawn_within_its_box() -> None:
    """The left half of a box from (10, 20) to (18, 28); another box sees the right quarter of it."""
    outline = np.array([[10.0, 20], [14, 20], [14, 28], [10, 28]])
    half = rasterize_polygons([outline], np.array([10.0, 20, 18, 28]), 4)
    assert half.tolist() == [[True, True, False, False]] * 4
    quarter = rasterize_polygons([outline], np.array([13.0, 20, 17, 28]), 4)
    assert quarter.tolist() == [[True, False, False, False]] * 4
    both = rasterize_polygons([outline, outline + np.array([6.0, 0])], np.array([10.0, 20, 18, 28]), 4)
    assert both.tolist() == [[True, True, False, True]] * 4, "parts are united"


def test_a_polygon_is_moved_before_it_is_rounded() -> None:
    """An object of 2 x 2 px at 28 x 28 cells: rounding to pixels first would fill or miss half of it."""
    triangle = np.array([[3.3, 5.2], [5.3, 5.2], [5.3, 7.2]])
    found = rasterize_polygons([triangle], np.array([3.3, 5.2, 5.3, 7.2]), 28)
    # the cells right above the diagonal: half of them, give or take the diagonal itself
    assert abs(found.mean() - 0.5) < 0.02 and found[0, -1] and not found[-1, 0]


def test_a_bitmap_is_cropped_with_aligned_sampling() -> None:
    bitmap = np.zeros((40, 30), np.uint8)
    bitmap[20:28, 10:14] = 1
    found = crop_bitmap(bitmap, torch.tensor([[10.0, 20, 18, 28], [13, 20, 17, 28]]).double(), 4)
    assert found[0].tolist() == [[True, True, False, False]] * 4
    assert found[1].tolist() == [[True, False, False, False]] * 4
    # cells of 2 px: of the second, from 13 to 15 px, one of two columns is covered, which is 0.5 and counts
    edge = crop_bitmap(bitmap, torch.tensor([[11.0, 20, 19, 28]]).double(), 4)
    assert edge[0].tolist() == [[True, True, False, False]] * 4


def test_targets_of_both_kinds_follow_their_objects() -> None:
    outline = np.array([[10.0, 20], [14, 20], [14, 28], [10, 28]])
    bitmap = np.zeros((40, 30))
    bitmap[20:24, 10:18] = 1
    box = [10.0, 20, 18, 28]
    found = draw_mask_targets([[outline], pack(bitmap)], torch.tensor([1, 0, 1]), torch.tensor([box] * 3), 2)
    assert found.dtype == torch.bool
    assert found.tolist() == [
        [[True, True], [False, False]],
        [[True, False], [True, False]],
        [[True, True], [False] * 2],
    ]
    assert draw_mask_targets([], torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), 28).shape == (0, 28, 28)


def test_samples_equal_grid_sample() -> None:
    """Pixel (x, y) is sampled at its center, (x + 0.5 - x0) / (x1 - x0) of the mask; to 1e-6."""
    rng = np.random.default_rng(0)
    for box in ([3.3, 4.7, 17.2, 9.9], [-4.0, -2.5, 8.1, 30.5], [11.2, 3.4, 11.9, 4.1]):
        mask = rng.uniform(size=(28, 28)).astype(np.float32)
        x0, y0, x1, y1 = box
        x = (np.arange(20) + 0.5 - x0) / (x1 - x0) * 2 - 1
        y = (np.arange(16) + 0.5 - y0) / (y1 - y0) * 2 - 1
        grid = torch.tensor(np.stack(np.meshgrid(x, y), -1))[None]
        expected = functional.grid_sample(torch.tensor(mask)[None, None].double(), grid, align_corners=False)[0, 0]
        found = np.zeros((16, 20))
        rows, columns, values = sample_mask(mask, np.array(box, np.float32), (16, 20))
        found[rows, columns] = values
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pasted_masks() -> None:
    """A mask whose left half is 1 in a box of 8 x 4 px: 4 x 4 pixels, each packed by itself."""
    mask = np.zeros((2, 28, 28), np.float32)
    mask[0, :, :14] = mask[1] = 1
    boxes = np.array([[2, 3, 10, 7], [6, 0, 9, 2]], np.float32)
    first, second = (coco_mask.decode(each) for each in paste_masks(mask, boxes, (10, 12)))
    expected = np.zeros((10, 12))
    expected[3:7, 2:6] = 1
    np.testing.assert_array_equal(first, expected)
    assert second.sum() == 6 and second[:2, 6:9].all()
    assert paste_masks(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), (10, 12)) == []


def test_boxes_are_not_rounded() -> None:
    """A full mask in a box from 2.4 to 5.6: pixels whose centers lie inside; from 2.6 on, one pixel less."""
    mask = np.ones((1, 28, 28), np.float32)
    for start, pixels in ((2.4, 4), (2.6, 3)):
        (packed,) = paste_masks(mask, np.array([[start, 0, 5.6, 1]], np.float32), (1, 8))
        assert coco_mask.decode(packed).sum() == pixels


def test_the_way_there_and_back() -> None:
    """An object of 37 x 23 px, drawn on 28 x 28 cells and pasted again; its edges move by up to a cell."""
    outline = np.array([[12.3, 8.1], [49.3, 8.1], [49.3, 31.1], [12.3, 31.1]])
    box = np.array([12.3, 8.1, 49.3, 31.1], np.float32)
    drawn = rasterize_polygons([outline], box.astype(float), 28).astype(np.float32)
    (packed,) = paste_masks(drawn[None], box[None], (40, 60))
    truth = coco_mask.merge(coco_mask.frPyObjects([outline.ravel().tolist()], 40, 60))
    assert coco_mask.iou([packed], [truth], [0])[0, 0] > 0.94
