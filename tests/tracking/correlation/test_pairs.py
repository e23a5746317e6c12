"""Pairs for the correlation network: boxes stay with their pixels, and a pair depends on its seed only."""

from __future__ import annotations

import numpy as np
import pytest

from tracking.correlation.network import CROP_SIZES
from tracking.correlation.pairs import ShapedPair, ShapedPairSampler, make_color_variant, turn_pair
from tracking.correlation.training import JITTER


@pytest.fixture(scope="module")
def sampler() -> ShapedPairSampler:
    rng = np.random.default_rng(0)
    return ShapedPairSampler([rng.integers(0, 256, (200, 220, 3), np.uint8) for _ in range(2)], CROP_SIZES, JITTER, 1)


def test_a_turned_pair_keeps_its_box_and_shape() -> None:
    """A white rectangle in black: where it is after the turn is read from the pixels."""
    template, search = np.zeros((64, 64, 3), np.uint8), np.zeros((128, 128, 3), np.uint8)
    template[24:40, 16:48] = 255  # 32 wide, 16 high
    search[10:30, 20:90] = 255
    pair = ShapedPair(template, search, np.array([20, 10, 70, 20]) / 128, 2.0)
    seen = set()
    for seed in range(40):
        turned = turn_pair(np.random.default_rng(seed), pair)
        rows, columns = (np.flatnonzero(turned.search[..., 0].any(axis)) for axis in (1, 0))
        x, y, w, h = columns[0], rows[0], len(columns), len(rows)
        assert np.allclose(turned.box * 128, [x, y, w, h])
        height, width = (int(turned.template[..., 0].any(axis).sum()) for axis in (1, 0))
        assert turned.aspect_ratio == pytest.approx(width / height)
        seen.add((x, y, w, h))
    assert len(seen) == 8  # four mirrorings, transposed or not


def test_a_pair_depends_on_its_seed_only(sampler: ShapedPairSampler) -> None:
    first = sampler.sample_shaped_pair(np.random.default_rng(7))
    sampler.sample_shaped_pair(np.random.default_rng(8))
    again = sampler.sample_shaped_pair(np.random.default_rng(7))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert first.template.shape == (64, 64, 3) and first.search.shape == (128, 128, 3)


def test_color_variants_are_a_table_for_each_channel() -> None:
    photo = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, -1)
    for seed in range(10):
        changed = make_color_variant(np.random.default_rng(seed), photo).reshape(256, 3).astype(int)
        steps = np.diff(changed, axis=0)
        # all channels rise or all fall, from end to end
        assert (steps >= 0).all() or (steps <= 0).all()
        assert sorted(changed[[0, -1], 0].tolist()) == [0, 255]
