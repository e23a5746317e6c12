"""Times of frames: gaps are filled from the frame rate and counted, and uneven spacing is noticed."""

from __future__ import annotations

import pytest

from tracking.video.frame_times import fill_missing_times, find_uneven_spacing


def test_missing_times_follow_from_the_frame_rate_and_are_counted() -> None:
    assert fill_missing_times([0.0, None, None, 0.2], 20.0) == (pytest.approx([0.0, 0.05, 0.1, 0.2]), 2)
    assert fill_missing_times([0.0, 0.1], None) == ([0.0, 0.1], 0)
    for times, fps in (([None, None], 20.0), ([0.0, None], None), ([], 20.0)):
        assert fill_missing_times(times, fps) is None


def test_times_that_are_rounded_are_even_and_a_pause_is_not() -> None:
    matroska = [0.0, 0.033, 0.067, 0.1, 0.133]  # 30 frames per second in whole milliseconds
    assert find_uneven_spacing(matroska) is None and find_uneven_spacing([0.0, 0.004, 0.008, 0.013]) is None
    assert find_uneven_spacing([*matroska, 0.233]) == pytest.approx((0.033, 0.1))
    assert find_uneven_spacing([0.0, 5.0]) is None
