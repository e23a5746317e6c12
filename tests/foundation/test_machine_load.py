from __future__ import annotations

from pathlib import Path

import pytest

from foundation import machine_load
from foundation.machine_load import is_machine_busy, is_minimum_stable, read_load_average, start_load_meter


@pytest.mark.parametrize(
    ("pass_times", "other_load", "load_average", "busy"),
    [
        # measured on two processors (docs/explanation/measurements.md): quiet
        ([0.49, 0.50, 0.51, 0.57], 0.01, 0.9, False),
        ([1.54, 1.78, 1.79, 2.13], 0.03, None, False),  # the widest spread of a quiet machine, 1.16
        # one busy loop on the other half of the core, two busy loops, and a machine where every pass is as slow
        ([0.53, 0.92, 0.93, 1.04], 0.50, 0.4, True),
        ([2.01, 2.15, 13.28, 14.1, 18.56], 0.85, 1.8, True),
        ([189.5, 193.1, 197.9, 207.4], 0.91, 1.9, True),
        # the spread alone decides where nothing else is known, as in records of earlier versions
        ([20.5, 1.05, 30.0], None, None, True),
        ([1.0, 1.05, 1.1], None, None, False),
        # the load average counts what the process did before, so it decides only if the other load is not known
        ([1.0, 1.05, 1.1], 0.0, 4.0, False),
        ([1.0, 1.05, 1.1], None, 4.0, True),
        ([1.0, 1.05, 1.1], None, 1.0, False),
    ],
)
def test_a_timing_is_busy_if_its_spread_or_other_processes_say_so(
    pass_times: list[float], other_load: float | None, load_average: float | None, busy: bool
) -> None:
    assert is_machine_busy(pass_times, other_load, load_average) is busy


def test_the_minimum_is_stable_once_enough_passes_found_none_below_it() -> None:
    falling = [5.0 - 0.1 * number for number in range(30)]
    assert not is_minimum_stable(falling, 5)
    assert not is_minimum_stable([*falling, 2.1, 2.1, 2.1, 2.1], 5)
    assert is_minimum_stable([*falling, 2.1, 2.1, 2.1, 2.1, 2.1], 5)
    assert not is_minimum_stable([2.0, 2.0], 2)  # nothing before the last two to compare with


def write_stat(path: Path, *processors: tuple[int, int]) -> None:
    """A /proc/stat in which these processors were busy and idle for so many ticks."""
    lines = ["cpu  1 1 1 1 1 1 1 1 0 0"]
    lines += [f"cpu{number} {busy} 0 0 {idle} 0 0 0 0 0 0" for number, (busy, idle) in enumerate(processors)]
    path.write_text("\n".join([*lines, "intr 1 2 3", ""]))


def test_the_other_load_is_the_time_of_the_usable_processors_without_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, own = tmp_path / "stat", [10.0]
    monkeypatch.setattr(machine_load, "_PROC_STAT", stat)
    monkeypatch.setattr(machine_load, "_list_processors", lambda: {0, 1})
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    monkeypatch.setattr("time.process_time", lambda: own[0])
    write_stat(stat, (1000, 1000), (1000, 1000), (0, 0))
    measure = start_load_meter()
    assert measure() is None  # no time has passed
    # 200 ticks later on each of the two: 100 + 180 busy, of them 100 (one second) our own; the third does not count
    own[0] += 1.0
    write_stat(stat, (1100, 1100), (1180, 1020), (900, 0))
    assert measure() == pytest.approx(180 / 400)
    own[0] += 9.0  # the clocks of system and process may differ a little, and no share is below 0
    assert measure() == 0.0


def test_a_system_without_these_numbers_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_load, "_PROC_STAT", tmp_path / "missing")
    assert start_load_meter()() is None

    def refuse() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr("os.getloadavg", refuse)
    assert read_load_average() is None
