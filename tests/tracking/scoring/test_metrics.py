"""Metrics against hand-computed cases, a second implementation, and got10k's own functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from got10k.utils import metrics as got10k

from tests.tracking.scoring.conftest import random_boxes
from tests.tracking.scoring.naive import reference_score, to_fractions
from tracking.scoring import LASOT_GOT10K, LASOT_OFFICIAL, score_sequence
from tracking.scoring.metrics import (
    NORM_PRECISION_THRESHOLDS,
    clip_boxes_to_image,
    compute_center_error,
    compute_error_curve,
    compute_iou,
    compute_normalized_error,
    compute_success_curve,
    fill_empty_boxes,
)

BOX = np.array([10.0, 20.0, 40.0, 20.0])


def moved(dx: float = 0.0, dy: float = 0.0, frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A prediction shifted by (dx, dy) in every frame, and the ground truth."""
    return np.tile(BOX + np.array([dx, dy, 0, 0]), (frames, 1)), np.tile(BOX, (frames, 1))


@pytest.mark.parametrize("seed", range(3))
def test_iou_and_centre_error_are_got10ks(seed: int) -> None:
    truth = random_boxes(seed, 500)
    boxes = random_boxes(seed + 10, 500, truth)
    boxes[::17, 2] = 0
    np.testing.assert_allclose(compute_iou(boxes, truth), got10k.rect_iou(boxes, truth), atol=1e-12)
    np.testing.assert_allclose(compute_center_error(boxes, truth), got10k.center_error(boxes, truth), atol=1e-9)
    clipped = got10k.rect_iou(boxes.copy(), truth.copy(), bound=(220, 180))
    np.testing.assert_allclose(
        compute_iou(clip_boxes_to_image(boxes, (220, 180)), clip_boxes_to_image(truth, (220, 180))), clipped, atol=1e-12
    )


def test_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10], [2, 2, 6, 6], [0, 0, 0, 0]], dtype=float)
    square = np.tile([0.0, 0, 10, 10], (5, 1))
    np.testing.assert_allclose(compute_iou(boxes, square), [1, 50 / 150, 0, 36 / 100, 0])
    assert compute_iou(boxes[4:], boxes[4:]).tolist() == [0]  # two empty boxes


def test_errors_by_hand() -> None:
    boxes, truth = moved(12, 16, frames=1)
    assert compute_center_error(boxes, truth).tolist() == [20]
    assert compute_normalized_error(boxes, truth)[0] == pytest.approx(np.hypot(12 / 40, 16 / 20))
    assert compute_normalized_error(boxes, truth * [1, 1, 0, 1])[0] == np.inf
    assert compute_normalized_error(boxes, truth, min_size=80)[0] == pytest.approx(20 / 80)


def test_curves_by_hand() -> None:
    assert compute_success_curve(np.array([0, 0.5, 1.0]), 3).tolist() == [2 / 3, 1 / 3, 0]
    assert compute_success_curve(np.array([0, 0.5, 1.0]), 3, strict=False).tolist() == [1, 2 / 3, 1 / 3]
    assert compute_error_curve(np.array([0.2, 0.201]), NORM_PRECISION_THRESHOLDS)[[19, 20, 21]].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_sequence_is_the_second_implementations(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random_boxes(seed, 300)
    boxes = random_boxes(seed + 10, 300, truth)
    boxes[random.random(300) < 0.1, random.integers(2, 4)] = 0
    truth[200:203, 2] = 0
    absent = random.random(300) < 0.15
    absent[0] = False
    if seed % 2:  # integers, which tie with thresholds
        boxes, truth = np.trunc(boxes), np.trunc(truth)
    expected = reference_score(
        [to_fractions(row) for row in boxes], [to_fractions(row) for row in truth], absent.tolist()
    )
    assert score_sequence(boxes, truth, absent).metric_values() == pytest.approx(expected, abs=1e-9)


def test_a_zero_size_box_repeats_the_one_before() -> None:
    boxes, truth = moved(0)
    boxes[2] = [500, 500, 0, 7]
    assert score_sequence(boxes, truth).metric_value("P") == 100
    assert score_sequence(boxes, truth, rules=replace(LASOT_OFFICIAL, empty_boxes="kept")).metric_value("P") == 75
    lost = fill_empty_boxes(np.array([[1.0, 1, 0, 0], [2, 2, 0, 5], [3, 3, 4, 4], [0, 0, 0, 0]]))
    assert lost.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [3, 3, 4, 4], [3, 3, 4, 4]]  # nothing before the first


def test_the_first_frame_is_replaced() -> None:
    boxes, truth = moved(0)
    boxes[0] += 500
    assert score_sequence(boxes, truth).metric_value("AUC") == pytest.approx(2000 / 21)
    assert boxes[0, 0] == 510  # the caller's array is left alone


def test_absent_frames_fail_and_stay_in_the_denominator() -> None:
    boxes, truth = moved(0)
    absent = np.array([False, True, False, False])
    official = score_sequence(boxes, truth, absent)
    assert official.frames == 4
    assert (official.metric_value("OP50"), official.metric_value("P"), official.metric_value("P_norm")) == (75, 75, 75)
    assert score_sequence(boxes, truth, absent, LASOT_GOT10K).metric_value("OP50") == 100
    excluded = score_sequence(boxes, truth, absent, replace(LASOT_OFFICIAL, absent_frames="excluded"))
    assert (excluded.frames, excluded.metric_value("OP50")) == (3, 100)
    hit = score_sequence(boxes, truth, absent, replace(LASOT_OFFICIAL, absent_precision="hit"))
    assert (hit.metric_value("OP50"), hit.metric_value("P")) == (75, 100)


def test_ground_truth_without_size_fails_as_if_absent() -> None:
    boxes, truth = moved(0)
    truth[1, 2:] = 0
    boxes[1] = [9, 19, 2, 2]  # its centre is the ground truth's
    score = score_sequence(boxes, truth)
    assert (score.metric_value("OP50"), score.metric_value("P"), score.metric_value("P_norm")) == (75, 75, 75)


def test_the_threshold_is_strict() -> None:
    truth = np.tile([0.0, 0, 10, 10], (4, 1))
    half = np.tile([0.0, 0, 10, 5], (4, 1))  # IoU exactly 0.5 but in the first frame, which is replaced
    assert score_sequence(half, truth).metric_value("OP50") == 25
    assert (
        score_sequence(half, truth, rules=replace(LASOT_OFFICIAL, strict_threshold=False)).metric_value("OP50") == 100
    )


def test_20_pixels_and_a_fifth_are_inclusive() -> None:
    boxes, truth = moved(20)
    assert score_sequence(boxes, truth).metric_value("P") == 100
    assert score_sequence(boxes + np.array([1e-6, 0, 0, 0]), truth).metric_value("P") == 25
    boxes, truth = moved(8)  # a fifth of the width 40
    assert score_sequence(boxes, truth).metric_value("P_norm") == 100
    assert score_sequence(boxes + np.array([1e-6, 0, 0, 0]), truth).metric_value("P_norm") == 25


@pytest.mark.parametrize("seed", range(5))
def test_float_ground_truth_against_itself_is_20_of_21(seed: int) -> None:
    truth = random_boxes(seed, 400)
    assert score_sequence(truth, truth).metric_value("AUC") == pytest.approx(2000 / 21, abs=1e-9)
    unclipped = score_sequence(truth, truth, rules=replace(LASOT_OFFICIAL, clip_iou=False)).metric_value("AUC")
    assert unclipped > 95.3  # round-off lifts some IoU above 1


def test_integers_are_truncated_before_the_zero_size_rule() -> None:
    boxes, truth = moved(0)
    boxes[2] = [50.9, 60.9, 0.9, 5.0]
    as_files = replace(LASOT_OFFICIAL, truncate_to_integers=True)
    assert score_sequence(boxes, truth, rules=as_files).metric_value("P") == 100
    boxes, truth = moved(0.9, 0.9)
    assert score_sequence(boxes, truth, rules=as_files).metric_value("AUC") == pytest.approx(2000 / 21)
    assert score_sequence(boxes, truth).metric_value("AUC") < 95


def test_got10ks_p_norm_is_a_mean_over_thresholds() -> None:
    boxes, truth = moved(10)  # a quarter of the width: a hit of the 26 thresholds 0.25 ... 0.50
    first, others = 100.0, 100 * 26 / 51
    assert score_sequence(boxes, truth, rules=LASOT_GOT10K).metric_value("P_norm") == pytest.approx(
        (first + 3 * others) / 4
    )
