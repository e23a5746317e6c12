"""Scores and windows of segmentation for any labels: bounds, order, and a second computation pixel by pixel."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import DataError
from segmentation.data.labels import IGNORE_INDEX
from segmentation.label_shift import LabelShiftTrial
from segmentation.metrics import compute_segmentation_scores, count_class_areas
from segmentation.models.sliding_window import list_window_corners
from tests.property_settings import FEW

CLASSES = 4
LABELS = st.sampled_from([0, 1, 2, 3, IGNORE_INDEX])
PIXELS = st.lists(st.tuples(st.integers(0, CLASSES - 1), LABELS), min_size=1, max_size=40)
SIDES = st.integers(1, 700)


def split(pixels: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray([[a for a, _ in pixels]]), np.asarray([[b for _, b in pixels]], np.uint8)


@FEW
@given(PIXELS)
def test_scores_are_those_of_a_plain_count(pixels: list[tuple[int, int]]) -> None:
    areas = count_class_areas(*split(pixels), CLASSES)
    scored = [(a, b) for a, b in pixels if b != IGNORE_INDEX]
    if not scored:
        with pytest.raises(DataError, match="no labeled pixel"):
            compute_segmentation_scores(areas)
        return
    scores = compute_segmentation_scores(areas)
    ious, recalls = [], []
    for each in range(CLASSES):
        hit = sum(a == b == each for a, b in scored)
        union = sum(each in (a, b) for a, b in scored)
        truth = sum(b == each for _, b in scored)
        ious += [100 * hit / union] if union else []
        recalls += [100 * hit / truth] if truth else []
    assert scores.mIoU == pytest.approx(sum(ious) / len(ious))
    assert scores.mIoU_all == pytest.approx(sum(ious) / CLASSES)
    assert scores.mAcc == pytest.approx(sum(recalls) / len(recalls))
    assert scores.aAcc == pytest.approx(100 * sum(a == b for a, b in scored) / len(scored))
    assert 0 <= scores.mIoU_all <= scores.mIoU <= 100 and scores.num_present == len(ious)


@FEW
@given(PIXELS, st.permutations(range(CLASSES)), st.randoms(use_true_random=False))
def test_neither_order_nor_names_matter(pixels: list[tuple[int, int]], names: list[int], random: object) -> None:
    plain = count_class_areas(*split(pixels), CLASSES)
    assert (count_class_areas(*split(pixels[::-1]), CLASSES) == plain).all()
    half = len(pixels) // 2
    if half:
        parts = [count_class_areas(*split(part), CLASSES) for part in (pixels[:half], pixels[half:])]
        assert (sum(parts) == plain).all(), "image by image or all at once"
    renamed = [(names[a], b if b == IGNORE_INDEX else names[b]) for a, b in pixels]
    assert (count_class_areas(*split(renamed), CLASSES)[:, names] == plain).all()


@FEW
@given(PIXELS)
def test_the_truth_scores_100(pixels: list[tuple[int, int]]) -> None:
    own = [(0 if b == IGNORE_INDEX else b, b) for _, b in pixels]
    if any(b != IGNORE_INDEX for _, b in own):
        scores = compute_segmentation_scores(count_class_areas(*split(own), CLASSES))
        assert scores.mIoU == scores.aAcc == scores.mAcc == 100


@FEW
@given(st.lists(st.integers(0, CLASSES - 2), min_size=20, max_size=200), st.sampled_from([-1, 1]))
def test_a_shift_is_noticed_and_the_truth_is_not_one(labels: list[int], shift: int) -> None:
    truth = np.asarray([labels], np.uint8) + (1 if shift == -1 else 0)
    trial = LabelShiftTrial(CLASSES)
    trial.add_image(truth.astype(np.int64), truth)
    assert trial.describe_shift() == ""
    shifted = LabelShiftTrial(CLASSES)
    shifted.add_image(truth.astype(np.int64) + shift, truth)
    if len(set(labels)) == CLASSES - 1 and min(np.bincount(labels)) > 0.01 * len(labels) + 1:
        assert ("subtract 1" if shift == 1 else "add 1") in shifted.describe_shift()


@FEW
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_windows_cover_the_image(image: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> None:
    size = (min(window[0], image[0]), min(window[1], image[1]))
    steps = (max(min(stride[0], size[0]), -(-image[0] // 20)), max(min(stride[1], size[1]), -(-image[1] // 20)))
    corners = list_window_corners(image, size, steps)
    assert len(set(corners)) == len(corners)
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in corners})
        assert starts[0] == 0 and starts[-1] + size[axis] == image[axis]
        if steps[axis] <= size[axis]:
            gaps = [later - earlier for earlier, later in pairwise(starts)]
            assert max(gaps, default=0) <= size[axis], "no pixel between two windows"
