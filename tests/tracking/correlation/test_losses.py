"""The loss of the correlation network against loops in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tracking.correlation.losses import MIN_HEAT, compute_loss, compute_overlaps, make_box_maps
from tracking.correlation.network import CorrelationMaps


def make_maps(grid: int, seed: int = 0) -> CorrelationMaps:
    draw = torch.Generator().manual_seed(seed)
    return CorrelationMaps(
        torch.randn(1, grid, grid, generator=draw),
        0.2 + 0.2 * torch.rand(1, 2, grid, grid, generator=draw),
        torch.randn(1, 2, grid, grid, generator=draw),
    )


def to_corners(box: list[float]) -> list[float]:
    x, y, w, h = box
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def compute_giou(a: list[float], b: list[float]) -> tuple[float, float]:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return common / union - (hull - union) / hull, common / union


def test_the_loss_is_that_of_loops() -> None:
    grid, truth = 16, [0.3, 0.4, 0.3, 0.25]  # x, y, width, height: its center lies in column 7, row 8
    maps = make_maps(grid)
    found = compute_loss(maps, torch.tensor([truth]))
    # radius 1 for 4.8 x 4 cells (CornerNet, overlap 0.7), so sigma is (2 + 1) / 6
    heat = np.zeros((grid, grid))
    for row in (7, 8, 9):
        for column in (6, 7, 8):
            heat[row, column] = math.exp(-((row - 8) ** 2 + (column - 7) ** 2) / (2 * 0.5**2))
    score = 1 / (1 + np.exp(-maps.score[0].numpy().astype(float)))
    focal = -math.log(score[8, 7]) * (1 - score[8, 7]) ** 2
    focal -= sum(
        math.log(1 - score[cell]) * score[cell] ** 2 * (1 - heat[cell]) ** 4
        for cell in np.ndindex(grid, grid)
        if cell != (8, 7)
    )
    corners = [truth[0], truth[1], truth[0] + truth[2], truth[1] + truth[3]]
    giou = l1 = total = 0.0
    for row, column in np.argwhere(heat > MIN_HEAT).tolist():
        (dx, dy), (w, h) = maps.offset[0, :, row, column].tolist(), maps.size[0, :, row, column].tolist()
        box = to_corners([(column + 0.5 + dx) / grid, (row + 0.5 + dy) / grid, w, h])
        giou += heat[row, column] * (1 - compute_giou(box, corners)[0])
        l1 += heat[row, column] * float(np.abs(np.subtract(box, corners)).mean())
        total += heat[row, column]
    assert found.focal.item() == pytest.approx(focal, rel=1e-4)
    assert found.giou.item() == pytest.approx(giou / total, rel=1e-4)
    assert found.l1.item() == pytest.approx(l1 / total, rel=1e-4)
    assert found.add_weighted().item() == pytest.approx(focal + (2 * giou + 5 * l1) / total, rel=1e-4)


def test_the_overlap_is_that_of_the_best_cell() -> None:
    maps = make_maps(8, seed=2)
    row, column = np.unravel_index(int(maps.score.argmax()), (8, 8))
    (dx, dy), (w, h) = maps.offset[0, :, row, column].tolist(), maps.size[0, :, row, column].tolist()
    best = [(column + 0.5 + dx) / 8, (row + 0.5 + dy) / 8, w, h]
    assert make_box_maps(maps)[0, row, column].tolist() == pytest.approx(best, abs=1e-5)
    truth = [best[0] - w / 2 + 0.02, best[1] - h / 2, w, h]
    corners = np.clip([truth[0], truth[1], truth[0] + w, truth[1] + h], 0, 1).tolist()
    expected = compute_giou(to_corners(best), corners)[1]
    assert compute_overlaps(maps, torch.tensor([truth])).item() == pytest.approx(expected, abs=1e-5)
