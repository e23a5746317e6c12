from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from engine.data import digits as digits_data
from engine.data.digits import DigitsDataset, upsample_image

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def digits() -> digits_data.DigitsData:
    return digits_data.load_digits_data()


def test_split_is_a_partition_and_stratified(digits: digits_data.DigitsData) -> None:
    everything = sorted(item for members in digits.splits.values() for item in members)
    assert everything == list(range(1797))
    for label in range(10):
        total = int((digits.labels == label).sum())
        for split, share in (("test", 0.20), ("val", 0.15)):
            part = int((digits.labels[digits.splits[split]] == label).sum())
            assert part == round(share * total)


def test_split_never_changes(digits: digits_data.DigitsData) -> None:
    """A change here makes every earlier record of digits another task's."""
    assert digits.splits["test"][:5] == [6, 15, 29, 32, 34]
    assert digits.fingerprint == "4a04c65069f4466e15017394255f5ef9a6494d038f3785174b0a83fb23e1c825"


def test_fingerprint_sees_content_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digits_data.load_digits_data().fingerprint
    monkeypatch.setattr(digits_data, "SPLIT_SALT", "another")
    assert digits_data.load_digits_data().fingerprint != before
    monkeypatch.undo()
    raw = load_digits()
    raw.target[0] = 1
    monkeypatch.setattr(digits_data, "_read_shipped_digits", lambda: (raw.images, raw.target))
    assert digits_data.load_digits_data().fingerprint != before


@pytest.mark.parametrize("keeps_table", [True, False], ids=["table", "elsewhere"])
def test_digits_are_those_of_scikit_learn(keeps_table: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from the table itself, and by ``load_digits`` where a release keeps the table elsewhere."""
    if not keeps_table:
        monkeypatch.setattr(digits_data, "find_spec", lambda name: None)
    images, labels = digits_data._read_shipped_digits()
    raw = load_digits()
    assert np.array_equal(images, raw.images) and np.array_equal(labels, raw.target)


def test_upsampling_equals_torch_inside() -> None:
    """Where the kernel does not touch the border (we pad with background, torch repeats the edge)."""
    image = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.tensor(image)[None, None], size=32, mode="bicubic")[0, 0].numpy()
    assert np.abs(upsample_image(image, 32, 0, 0) - expected)[6:-6, 6:-6].max() < 1e-5


def test_shift_moves_by_whole_pixels() -> None:
    image = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    still, moved = upsample_image(image, 32, 0, 0), upsample_image(image, 32, 3, -2)
    assert np.abs(moved[6:-8, 9:-6] - still[8:-6, 6:-9]).max() < 1e-5


def test_items_are_normalised_and_only_training_moves(digits: digits_data.DigitsData) -> None:
    still = DigitsDataset(digits, "val", 32, HALF, HALF)
    image = still[0]["images"]
    assert image.shape == (3, 32, 32)
    assert image.dtype == np.float32
    assert np.array_equal(image, still[0]["images"])
    expected = (upsample_image(digits.images[still.indices[0]], 32, 0, 0) - 0.5) / 0.5
    assert np.array_equal(image[1], expected)
    moving = DigitsDataset(digits, "train", 32, HALF, HALF, max_shift=0.1)
    random.seed(0)
    assert not np.array_equal(moving[0]["images"], moving[0]["images"])
