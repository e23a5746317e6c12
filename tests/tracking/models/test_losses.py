"""Targets and losses against values of OSTrack's code, and against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tracking.models.losses import cxcywh_to_xyxy, focal_loss, giou_loss
from tracking.models.targets import find_center_cells, gaussian_radius, make_score_maps

CASES = [
    ((0.25, 0.25, 0.5, 0.5), 2.1866, (8, 8), 25, 4.35045),
    ((0.375, 0.375, 0.25, 0.25), 1.0933, (8, 8), 9, 1.61460),
    ((0.4, 0.3, 0.3, 0.2), 1.0530, (6, 9), 9, 1.61460),
    ((0.0, 0.0, 0.1, 0.1), 0.4373, (1, 1), 1, 1.0),
]


@pytest.mark.parametrize(("box", "radius", "peak", "cells", "total"), CASES)
def test_score_maps(box: tuple[float, ...], radius: float, peak: tuple[int, int], cells: int, total: float) -> None:
    boxes = torch.tensor([box])
    assert float(gaussian_radius(boxes[0, 2] * 16, boxes[0, 3] * 16)) == pytest.approx(radius, abs=1e-4)
    (found,) = make_score_maps(boxes, 16)
    assert divmod(int(found.argmax()), 16) == peak
    assert float(found.max()) == 1.0
    assert int((found > 0).sum()) == cells
    assert float(found.sum()) == pytest.approx(total, abs=1e-5)


def test_rows_of_the_first_two_maps() -> None:
    maps = make_score_maps(torch.tensor([CASES[0][0], CASES[1][0]]), 16)
    assert maps[0, 8, 6:11].tolist() == pytest.approx([0.056135, 0.486752, 1, 0.486752, 0.056135], abs=1e-6)
    assert maps[1, 8, 7:10].tolist() == pytest.approx([0.135335, 1, 0.135335], abs=1e-6)


def test_a_centre_outside_leaves_no_peak() -> None:
    box = torch.tensor([[0.9, 0.9, 0.2, 0.2]])
    assert find_center_cells(box, 16).tolist() == [[16, 16]]
    assert float(gaussian_radius(box[0, 2] * 16, box[0, 3] * 16)) == pytest.approx(0.8746, abs=1e-4)
    assert float(make_score_maps(box, 16).sum()) == 0.0


def test_maps_equal_a_plain_loop() -> None:
    """Cell by cell with math.exp, over boxes in and half out of the crop."""
    rng = np.random.default_rng(0)
    boxes = np.column_stack([rng.uniform(-0.2, 0.9, (40, 2)), rng.uniform(0.02, 0.9, (40, 2))]).astype(np.float32)
    maps = make_score_maps(torch.from_numpy(boxes), 16).numpy()
    for box, found in zip(boxes, maps, strict=True):
        width, height = torch.tensor(box[2] * 16), torch.tensor(box[3] * 16)
        radius = int(gaussian_radius(width, height))
        column, row = (round(float(np.float32((box[i] + box[2 + i] / 2) * np.float32(16)))) for i in (0, 1))
        sigma = (2 * radius + 1) / 6
        for y in range(16):
            for x in range(16):
                near = abs(x - column) <= radius and abs(y - row) <= radius
                value = math.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2)) if near else 0.0
                assert found[y, x] == pytest.approx(value, abs=1e-6)


def test_focal() -> None:
    target = make_score_maps(torch.tensor([CASES[0][0]]), 16)
    scores = torch.full((1, 16, 16), 0.1)
    scores[0, 8, 8] = 0.9
    assert float(focal_loss(scores, target)) == pytest.approx(0.261209, abs=1e-6)


def test_focal_without_a_peak_is_the_plain_sum() -> None:
    scores = torch.full((2, 4, 4), 0.25)
    by_hand = -2 * 16 * math.log(0.75) * 0.25**2
    assert float(focal_loss(scores, torch.zeros(2, 4, 4))) == pytest.approx(by_hand, rel=1e-6)


def test_giou_and_l1() -> None:
    first = torch.tensor([[0.1, 0.1, 0.5, 0.5], [0.2, 0.2, 0.4, 0.6]])
    second = torch.tensor([[0.2, 0.2, 0.6, 0.6], [0.6, 0.6, 0.9, 0.9]])
    loss, overlap = giou_loss(first, second)
    assert float(loss) == pytest.approx(1.1709, abs=5e-5)
    assert overlap.tolist() == pytest.approx([0.3913, 0.0], abs=5e-5)
    assert float((first - second).abs().mean()) == pytest.approx(0.25, abs=1e-6)


def test_giou_equals_torchvision() -> None:
    from torchvision.ops import generalized_box_iou_loss

    boxes = torch.rand(2, 50, 4, generator=torch.Generator().manual_seed(0))
    first, second = (cxcywh_to_xyxy(part) for part in boxes)
    expected = generalized_box_iou_loss(first, second, reduction="mean", eps=0.0)
    assert float(giou_loss(first, second)[0]) == pytest.approx(float(expected), rel=1e-5)


def test_points_in_one_place_give_a_number() -> None:
    point = torch.zeros(1, 4, requires_grad=True)
    loss, overlap = giou_loss(point, torch.zeros(1, 4))
    loss.backward()
    assert torch.isfinite(loss) and float(overlap.detach()) == 0.0
    assert point.grad is not None and torch.isfinite(point.grad).all()
