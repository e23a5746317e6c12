from __future__ import annotations

from pathlib import Path

import pytest

from foundation.machine import machine_load
from foundation.machine.machine_load import MachineLoad, is_machine_busy, is_minimum_stable, start_load_meter

QUIET = [1.0, 1.02, 1.05, 1.1]


@pytest.mark.parametrize(
    ("pass_times", "load", "threads", "busy"),
    [
        # measured on two processors (docs/explanation/measurements.md): quiet
        ([0.49, 0.50, 0.51, 0.57], MachineLoad(0.9, 0.01, 2), 1, False),
        ([1.54, 1.78, 1.79, 2.13], MachineLoad(None, 0.03, 2), 2, False),  # the widest spread when quiet, 1.16
        # one busy loop on the other processor, two busy loops, and all passes slowed down by the same factor
        ([0.53, 0.92, 0.93, 1.04], MachineLoad(0.4, 0.50, 2), 1, True),
        ([0.75, 0.77, 0.77, 0.83], MachineLoad(0.4, 0.50, 2), 1, True),
        ([2.01, 2.15, 13.28, 14.1, 18.56], MachineLoad(1.8, 0.85, 2), 1, True),
        ([189.5, 193.1, 197.9, 207.4], MachineLoad(1.9, 0.91, 2), 1, True),
        ([1340.0, 1344.0, 1352.0], MachineLoad(1.9, 0.50, 2), 2, True),
        # the spread alone decides where nothing else is known, as in records of earlier versions
        ([20.5, 1.05, 30.0], None, None, True),
        (QUIET, None, None, False),
        (QUIET, MachineLoad(), 1, False),
        # others may use the processors that the threads leave free, but not those of the threads
        (QUIET, MachineLoad(0.3, 0.25, 16), 8, False),
        (QUIET, MachineLoad(0.3, 0.25, 16), 16, True),
        (QUIET, MachineLoad(0.0, 0.01, 16), 16, False),
        # and not too many of them either
        (QUIET, MachineLoad(0.3, 0.45, 16), 1, True),
        # the load average counts what the process did before, so it decides only if the other load is not known
        (QUIET, MachineLoad(4.0, 0.0, 2), 2, False),
        (QUIET, MachineLoad(4.0, None, 2), 2, True),
        (QUIET, MachineLoad(1.0, None, 2), 2, False),
    ],
)
def test_a_timing_is_busy_if_its_spread_or_other_processes_say_so(
    pass_times: list[float], load: MachineLoad | None, threads: int | None, busy: bool
) -> None:
    assert is_machine_busy(pass_times, load, threads) is busy


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
    assert measure().other_load is None  # no time has passed
    assert measure().processors == 2
    # 200 ticks later on each of the two: 100 + 180 busy, of them 100 (one second) our own; the third does not count
    own[0] += 1.0
    write_stat(stat, (1100, 1100), (1180, 1020), (900, 0))
    assert measure().other_load == pytest.approx(180 / 400)
    own[0] += 9.0  # the clocks of system and process may differ a little, and no share is below 0
    assert measure().other_load == 0.0


def test_a_system_without_these_numbers_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_load, "_PROC_STAT", tmp_path / "missing")

    def refuse() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr("os.getloadavg", refuse)
    load = start_load_meter()()
    assert (load.load_average, load.other_load) == (None, None)
