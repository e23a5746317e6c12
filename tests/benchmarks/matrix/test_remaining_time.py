"""Remaining time: the most similar finished cells decide, and nothing is said where nothing is known."""

from __future__ import annotations

from benchmarks.matrix.remaining_time import CellTimes, RunningCell
from benchmarks.resolve_cell import CellRequest

A0 = CellRequest("digits", "vit_pico", "knn", seed=0)
A1 = CellRequest("digits", "vit_pico", "knn", seed=1)
B0 = CellRequest("digits", "vit_nano", "knn", seed=0)
OTHER = CellRequest("mini_ade", "vit_nano", "linear", seed=0)


def test_the_same_cell_with_another_seed_decides_first() -> None:
    times = CellTimes()
    assert times.predict(A1) is None
    times.add(B0, 30.0)
    assert times.predict(A1) == 30.0, "another backbone on the same board, for want of anything better"
    times.add(A0, 10.0)
    assert times.predict(A1) == 10.0
    assert times.predict(OTHER) is None


def test_an_estimate_gives_way_to_a_measurement_of_the_same_cell() -> None:
    times = CellTimes({A1: 5.0, OTHER: 100.0})
    times.add(B0, 30.0)
    assert times.predict(A1) == 5.0, "known before: more than a run of another backbone"
    times.add(A0, 10.0)
    assert times.predict(A1) == 10.0
    assert times.predict(OTHER) == 100.0


def test_the_rest_is_shared_by_the_slots_but_no_cell_is_cut() -> None:
    times = CellTimes({A0: 10.0, A1: 10.0, B0: 10.0, OTHER: 100.0})
    assert times.predict_rest([A0, A1], [RunningCell(B0, 4.0)], 2) == (10 + 10 + 6) / 2
    assert times.predict_rest([A0, OTHER], [], 2) == 100.0, "the longest cell runs on one worker"
    assert times.predict_rest([A0], [RunningCell(B0, 25.0)], 1) == 10.0, "a late cell has no negative time"
    assert CellTimes({A0: 10.0}).predict_rest([A0, OTHER], [], 2) is None
