"""The training of the correlation network: it learns, and goes on after a kill with the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tracking.correlation.network import CROP_SIZES, CorrelationNetwork
from tracking.correlation.pairs import ShapedPairSampler
from tracking.correlation.training import JITTER, STATE_FILE, TrainingSettings, train_network

SETTINGS = TrainingSettings(
    steps=4, batch_size=2, warmup_steps=2, is_bf16=False, channels=(4, 8, 8), head_channels=8, save_seconds=0.0
)


@pytest.fixture(scope="module")
def sampler() -> ShapedPairSampler:
    rng = np.random.default_rng(0)
    return ShapedPairSampler([rng.integers(0, 256, (200, 220, 3), np.uint8) for _ in range(2)], CROP_SIZES, JITTER, 0)


class KilledError(Exception):
    pass


def test_a_killed_training_ends_with_the_same_weights(sampler: ShapedPairSampler, tmp_path: Path) -> None:
    whole = train_network(sampler, SETTINGS, 3, tmp_path)
    assert int(torch.load(tmp_path / STATE_FILE, weights_only=True)["step"]) == 4

    def kill(network: CorrelationNetwork, step: int) -> None:
        if step == 2:
            raise KilledError

    half = tmp_path / "half"
    half.mkdir()
    with pytest.raises(KilledError):
        train_network(sampler, SETTINGS, 3, half, kill)
    again = train_network(sampler, SETTINGS, 3, half)
    other = train_network(sampler, SETTINGS, 4, half / "..")  # finished already: nothing is trained
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
        assert torch.equal(value, other.state_dict()[name]), name


def test_the_rate_rises_and_falls() -> None:
    settings = replace(SETTINGS, steps=100, warmup_steps=10, peak_rate=1.0)
    rates = [settings.compute_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(0.98, abs=0.01)
    assert rates[50] == pytest.approx(0.505) and rates[99] == pytest.approx(0.01, abs=0.001)
