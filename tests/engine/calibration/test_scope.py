"""The pace of a loop, and that loops of a real run are left alone."""

from __future__ import annotations

import itertools

import pytest

from engine.calibration import scope as module
from engine.calibration.scope import (
    CalibrationDone,
    CalibrationScope,
    LoopMeasurement,
    end_calibration,
    measure_items,
    open_calibration,
)


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one second at each look, and a CPU clock by a quarter."""
    ticks = itertools.count()
    monkeypatch.setattr(module, "_read_clocks", lambda: module._Clocks(*((t := next(ticks)), t / 4)))


def test_a_real_run_does_all_of_its_items() -> None:
    assert list(measure_items("train", "steps", 5, range(5))) == [0, 1, 2, 3, 4]
    end_calibration()


@pytest.mark.usefixtures("_clock")
def test_a_loop_ends_once_its_pace_is_known() -> None:
    found = CalibrationScope(min_seconds=1, max_seconds=1000, max_items=4)
    with open_calibration(found):
        assert len(list(measure_items("train", "images", 640, range(10), lambda item: 64))) == 6
    (loop,) = found.loops
    # the two items of the warm-up are not timed; the clock goes on once per item and at the end, and the pace in CPU
    # time is that of an item
    assert (loop.measured, loop.seconds, loop.cpu_seconds) == (4 * 64, 5, 1.0)
    assert (loop.spent, loop.total) == (7, 640)
    assert loop.estimated_seconds == pytest.approx(5 / 256 * 640)
    assert loop.convert_to_cpu_time().estimated_seconds == pytest.approx(1.0 / 256 * 640)


@pytest.mark.usefixtures("_clock")
def test_a_loop_that_is_over_at_once_counts_as_it_was() -> None:
    found = CalibrationScope()
    with open_calibration(found):
        assert list(measure_items("test", "batches", 1, [0])) == [0]
        assert list(measure_items("test", "batches", 0, [])) == []
    assert [loop.estimated_seconds for loop in found.loops] == [2.0, 0.0]


def test_many_short_items_are_timed_for_a_while() -> None:
    limits = CalibrationScope(min_seconds=1.5, max_seconds=4, max_items=24)
    assert [limits.is_enough(*each) for each in ((24, 0.1), (24, 1.5), (1, 4.0), (0, 9.0), (5, 2.0))] == [
        False, True, True, False, False,
    ]  # fmt: skip


def test_a_calibration_ends_without_an_error_and_others_pass() -> None:
    with open_calibration(CalibrationScope()):
        end_calibration()
    with pytest.raises(ValueError, match="real"), open_calibration(CalibrationScope()):
        raise ValueError("real")
    with pytest.raises(CalibrationDone):
        raise CalibrationDone


def test_an_empty_measurement_estimates_nothing() -> None:
    assert LoopMeasurement("fit", "steps", 0, 0.0, 10, 0.0).estimated_seconds == 0
