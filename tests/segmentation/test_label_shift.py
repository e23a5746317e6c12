"""Predictions whose labels are shifted by one are noticed, and others are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.label_shift import LabelShiftTrial

TRUTH = np.repeat(np.arange(5, dtype=np.uint8), 20).reshape(10, 10)  # two rows of each class


def describe(prediction: NDArray[np.int64], truth: NDArray[np.uint8] = TRUTH, num_classes: int = 5) -> str:
    trial = LabelShiftTrial(num_classes)
    trial.add_image(prediction, truth)
    return trial.describe_shift()


@pytest.mark.parametrize(("shift", "cure"), [(1, "subtract 1 from every label"), (-1, "add 1 to every label")])
def test_shifted_labels_are_noticed(shift: int, cure: str) -> None:
    assert describe(TRUTH.astype(np.int64) + shift).endswith(cure)


def test_right_labels_and_poor_ones_are_left_alone() -> None:
    assert describe(TRUTH.astype(np.int64)) == ""
    assert describe(np.zeros((10, 10), np.int64)) == ""
    assert describe(TRUTH[::-1].astype(np.int64)) == ""


def test_answer_of_one_class_above_and_one_below_is_scored_as_it_is() -> None:
    """Of 5 classes it hits two with a shift by chance: 1 above the truth's 2, and 3 above its 4."""
    prediction = np.where(np.arange(10)[:, None] < 6, 1, 3) * np.ones((10, 10), np.int64)
    truth = np.repeat(np.array([0, 2, 2, 4, 4], np.uint8), 20).reshape(10, 10)
    assert describe(prediction, truth) == ""


def test_set_of_two_classes_needs_no_third() -> None:
    truth = np.where(TRUTH < 2, 1, 2).astype(np.uint8)
    assert "add 1 to every label" in describe(truth.astype(np.int64) - 1, truth, 3)
