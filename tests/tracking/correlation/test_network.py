"""The correlation network against loops, and untrained: it must find a copy of the template."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tracking.correlation.backend import CorrelationBackend, ShapedTemplate
from tracking.correlation.network import (
    CROP_SIZES,
    CorrelationNetwork,
    add_shifted_maps,
    compute_place_weights,
)


def test_shifted_maps_are_added_as_in_loops() -> None:
    places, grid = 4, 9
    maps = torch.rand(2, places**2, grid**2, generator=torch.Generator().manual_seed(1))
    found = add_shifted_maps(maps, places, grid)
    square = maps.reshape(2, places, places, grid, grid)
    expected = torch.zeros(2, 1, grid, grid)
    for row in range(grid):
        for column in range(grid):
            for i in range(places):
                for j in range(places):
                    # place (i, j) of a template centered here
                    y, x = row + 2 * i - places + 1, column + 2 * j - places + 1
                    if 0 <= y < grid and 0 <= x < grid:
                        expected[:, 0, row, column] += square[:, i, j, y, x]
    assert torch.allclose(found, expected, atol=1e-5)


def test_place_weights_are_the_shares_of_the_box() -> None:
    # a box twice as wide as high, of area 1, in a template that shows 2 x 2: 4 places of 0.5 in each direction
    (weights,) = compute_place_weights(torch.tensor([2.0]), 4, 2.0).reshape(1, 4, 4)
    wide, high = math.sqrt(2), math.sqrt(0.5)
    # columns: the inner two are full, the outer two hold what is left of half the width
    columns = np.array([wide / 2 - 0.5, 0.5, 0.5, wide / 2 - 0.5])
    rows = np.array([0, high / 2, high / 2, 0])
    assert np.allclose(weights.numpy(), np.outer(rows, columns), atol=1e-6)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-6)


def test_the_untrained_network_finds_the_template_by_correlation() -> None:
    """A texture in a search region of another texture; every cell that could be meant is tried on one line."""
    rng = np.random.default_rng(5)
    torch.manual_seed(0)
    network = CorrelationNetwork(CROP_SIZES)
    # batch norm of an untrained network needs statistics: those of such images
    template = rng.integers(0, 256, (64, 64, 3), np.uint8)
    regions, cells = [], []
    for left in (8, 32, 60):
        region = rng.integers(0, 256, (128, 128, 3), np.uint8)
        region[20:84, left : left + 64] = template
        regions.append(region)
        cells.append(((20 + 32) // 4, (left + 32) // 4))
    with torch.no_grad():
        images = torch.from_numpy(np.stack(regions)).permute(0, 3, 1, 2)
        for _ in range(60):
            network.train().features(network.normalize_images(images))
    backend = CorrelationBackend(network)
    encoded = backend.encode_shaped(ShapedTemplate(template, 1.0))
    for outputs, (row, column) in zip(backend.predict_maps([encoded] * 3, regions), cells, strict=True):
        best = np.unravel_index(outputs.score.argmax(), outputs.score.shape)
        # the features of a place see pixels beyond it, so the best cell may be the neighbor
        assert max(abs(int(best[0]) - row), abs(int(best[1]) - column)) <= 1
        # the expected box: a quarter of the search region, square
        assert np.allclose(outputs.size[:, row, column], 0.25, rtol=0.2)


def test_several_targets_are_found_as_each_alone() -> None:
    rng = np.random.default_rng(6)
    torch.manual_seed(1)
    backend = CorrelationBackend(CorrelationNetwork(CROP_SIZES))
    templates = [ShapedTemplate(rng.integers(0, 256, (64, 64, 3), np.uint8), ratio) for ratio in (0.5, 2.0)]
    regions = [rng.integers(0, 256, (128, 128, 3), np.uint8) for _ in templates]
    encoded = [backend.encode_shaped(template) for template in templates]
    together = backend.predict_maps(encoded, regions)
    for number, outputs in enumerate(together):
        (alone,) = backend.predict_maps([encoded[number]], [regions[number]])
        for name in ("score", "size", "offset"):
            assert np.allclose(getattr(outputs, name), getattr(alone, name), atol=1e-5)
    # the shape of the target decides the shape of the expected box
    ratios = [float(np.median(outputs.size[0] / outputs.size[1])) for outputs in together]
    assert ratios[0] == pytest.approx(0.5, rel=0.3) and ratios[1] == pytest.approx(2.0, rel=0.3)
