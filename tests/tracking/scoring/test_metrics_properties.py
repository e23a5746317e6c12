"""Scores of tracking for any boxes: bounds, symmetry, order, and a second computation in exact fractions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.array_types import FloatArray
from tests.property_settings import FEW
from tests.tracking.scoring.naive import exact_iou, reference_score, to_fractions
from tracking.scoring import LASOT_OFFICIAL
from tracking.scoring.metrics import (
    PRECISION_THRESHOLDS_PX,
    clip_boxes_to_image,
    compute_center_error,
    compute_curve_metric,
    compute_error_curve,
    compute_iou,
    compute_normalized_error,
    compute_sequence_curves,
    compute_success_curve,
    fill_empty_boxes,
)

NUMBERS = st.integers(0, 200).map(lambda number: number / 4)
ROWS = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
PAIRS = st.lists(st.tuples(ROWS, ROWS), min_size=1, max_size=15)


def split(pairs: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> tuple[FloatArray, FloatArray]:
    return np.asarray([a for a, _ in pairs], np.float64), np.asarray([b for _, b in pairs], np.float64)


@FEW
@given(PAIRS)
def test_overlap(pairs: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> None:
    first, second = split(pairs)
    overlap = compute_iou(first, second)
    assert ((overlap >= 0) & (overlap <= 1)).all()
    assert (overlap == compute_iou(second, first)).all(), "symmetric"
    assert (compute_iou(first, first)[(first[:, 2:] > 0).all(1)] == 1).all()
    for row, (a, b) in zip(overlap, pairs, strict=True):
        if min(a[2:] + b[2:]) > 0:
            assert row == pytest.approx(float(exact_iou(to_fractions(a), to_fractions(b))))


@FEW
@given(PAIRS, st.floats(-100, 100), st.floats(0.25, 4))
def test_overlap_is_of_shapes_and_not_of_places(
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]], shift: float, scale: float
) -> None:
    first, second = split(pairs)
    moved = [boxes * scale + [shift, -shift, 0, 0] for boxes in (first, second)]
    # boxes that only touch may overlap by the rounding of the shift
    assert compute_iou(*moved) == pytest.approx(compute_iou(first, second), abs=1e-6)


@FEW
@given(PAIRS)
def test_errors(pairs: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> None:
    first, second = split(pairs)
    error = compute_center_error(first, second)
    assert (error >= 0).all() and (error == compute_center_error(second, first)).all()
    assert not np.isnan(compute_normalized_error(first, second)).any()
    assert (compute_center_error(first, first) == 0).all()


@FEW
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_curves_are_monotone_and_know_no_order(overlaps: list[float], random: object) -> None:
    values = np.asarray(overlaps)
    success = compute_success_curve(values)
    assert (np.diff(success) <= 0).all() and success[-1] == 0 and (success >= 0).all() and (success <= 1).all()
    assert (compute_success_curve(values[::-1]) == success).all()
    better = compute_success_curve(np.minimum(1, values + 0.1))
    assert (better >= success).all(), "a better tracker has no lower curve"
    precision = compute_error_curve(values * 60, PRECISION_THRESHOLDS_PX)
    assert (np.diff(precision) >= 0).all() and (
        compute_error_curve(values * 30, PRECISION_THRESHOLDS_PX) >= precision
    ).all()


@FEW
@given(PAIRS, st.data())
def test_a_sequence_equals_the_second_implementation(
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]], data: st.DataObject
) -> None:
    predicted, truth = split(pairs)
    absent = np.asarray(data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs))))
    curves, _ = compute_sequence_curves(predicted, truth, absent, LASOT_OFFICIAL)
    expected = reference_score([*map(to_fractions, predicted)], [*map(to_fractions, truth)], absent.tolist())
    for name in ("AUC", "P", "OP50", "OP75"):
        value = compute_curve_metric(name, curves, LASOT_OFFICIAL)
        assert 0 <= value <= 100
        assert value == pytest.approx(expected[name], abs=1e-9), name


@FEW
@given(st.lists(ROWS, min_size=1, max_size=20))
def test_empty_boxes_repeat_the_last_full_one(rows: list[tuple[float, ...]]) -> None:
    boxes = np.asarray(rows, np.float64)
    filled = fill_empty_boxes(boxes)
    assert (filled[0] == boxes[0]).all()
    for number in range(1, len(rows)):
        assert (filled[number] == (boxes[number] if min(rows[number][2:]) > 0 else filled[number - 1])).all()
    assert (fill_empty_boxes(filled) == filled).all()


@FEW
@given(st.lists(st.tuples(*[st.floats(-500, 500)] * 2, *[st.floats(0, 500)] * 2), min_size=1, max_size=10))
def test_clipped_boxes_lie_in_the_image(rows: list[tuple[float, ...]]) -> None:
    clipped = clip_boxes_to_image(np.asarray(rows), (320.0, 240.0))
    assert (clipped >= 0).all()
    assert (clipped[:, :2] + clipped[:, 2:] <= np.array([320, 240]) + 1e-9).all()
    assert (clip_boxes_to_image(clipped, (320.0, 240.0)) == clipped).all()
