"""The processor of this machine, how busy it was while passes were timed, and when that disturbs a timing."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

BUSY_RATIO = 1.25
"""Median over minimum above which a timing is disturbed. On a quiet machine it was 1.01 to 1.16
(docs/explanation/measurements.md)."""

BUSY_OTHER_LOAD = 0.3
"""Share of the processors' time above which other processes disturb a timing, even one on processors of its own: they
share its memory, its clock rate and often the halves of its cores. Every pass is slowed down by the same factor then,
so that the median is close to a minimum that is just as wrong."""

SPARE_PROCESSORS = 0.25
"""How many processors other processes may use beyond those that the threads of a timing leave free. As the threads wait
for each other, one that has to share its processor holds up all of them."""

BUSY_LOAD_AVERAGE = 1.5
"""Load per processor above which a timing is disturbed, where the share of other processes is not known. The load of
the last minute includes what this process did itself, a training on all processors for example, which alone is 1."""

_PROC_STAT = Path("/proc/stat")


class MachineLoad(NamedTuple):
    """What else a machine did while passes were timed; ``None`` where it is not known.

    Attributes:
        load_average: load average of the minute before, per usable processor.
        other_load: share of the processors' time that other processes used meanwhile, 0 to 1.
        processors: number of processors that the process may use.
    """

    load_average: float | None = None
    other_load: float | None = None
    processors: int | None = None


def is_machine_busy(pass_times: Sequence[float], load: MachineLoad | None = None, threads: int | None = None) -> bool:
    """Return whether something else kept the machine busy while passes were timed.

    Args:
        pass_times: duration of each pass, in any unit; at least one.
        load: what else the machine did; without it, the spread of the times decides alone.
        threads: number of threads that were timed; ``None`` if not known.

    >>> is_machine_busy([1.0, 1.1, 9.0]), is_machine_busy([1.0, 1.5, 9.0])
    (False, True)
    >>> is_machine_busy([7.0, 7.1], MachineLoad(other_load=0.9))
    True
    """
    if median(pass_times) > BUSY_RATIO * min(pass_times):
        return True
    if load is None:
        return False
    if load.other_load is None:
        return load.load_average is not None and load.load_average > BUSY_LOAD_AVERAGE
    if load.processors is not None and threads is not None:
        free = max(0, load.processors - threads)
        if load.other_load * load.processors > free + SPARE_PROCESSORS:
            return True
    return load.other_load > BUSY_OTHER_LOAD


def is_minimum_stable(pass_times: Sequence[float], passes: int, tolerance: float = 0.01) -> bool:
    """Return whether the last passes found no new minimum, in which case more passes will hardly find one.

    Args:
        pass_times: duration of each pass, in the order of measurement.
        passes: number of passes at the end that must not be faster than all passes before them.
        tolerance: by how much a pass must be faster to count, as a fraction of the minimum before.

    >>> is_minimum_stable([3.0, 2.0, 2.1, 1.99], 2), is_minimum_stable([3.0, 2.0, 2.1, 1.9], 2)
    (True, False)
    """
    if len(pass_times) <= passes:
        return False
    return min(pass_times[-passes:]) >= (1 - tolerance) * min(pass_times[:-passes])


def start_load_meter() -> Callable[[], MachineLoad]:
    """Start to measure what else the machine does.

    Returns:
        A function that returns the load since the start. The share of other processes is ``None`` where the system does
        not say it: outside of Linux, and for a time too short for its clock of 10 ms.
    """
    processors = _list_processors()
    load_average = _read_load_average(len(processors))
    before, own_before = _read_processor_times(processors), time.process_time()

    def measure() -> MachineLoad:
        after, own = _read_processor_times(processors), time.process_time() - own_before
        other_load = None
        if before is not None and after is not None and after[1] - before[1] >= _MIN_TICKS:
            own_ticks = own * os.sysconf("SC_CLK_TCK")
            # the two clocks differ by some ticks, so a quiet machine can give a share slightly below 0
            other_load = min(1.0, max(0.0, (after[0] - before[0] - own_ticks) / (after[1] - before[1])))
        return MachineLoad(load_average, other_load, len(processors))

    return measure


def _read_load_average(num_processors: int) -> float | None:
    """Return the load average of the last minute per processor; ``None`` on systems that have none."""
    try:
        return os.getloadavg()[0] / num_processors
    except (AttributeError, OSError):  # Windows has no such function; a container may refuse the answer
        return None


_MIN_TICKS = 10
"""Clock ticks, summed over the processors, below which the rounding to whole ticks is a large part of the result."""


def _list_processors() -> set[int]:
    """Return the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _read_processor_times(processors: set[int]) -> tuple[int, int] | None:
    """Return the busy and the total time of some processors since the start of the system, in clock ticks."""
    try:
        lines = _PROC_STAT.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    names = {f"cpu{number}" for number in processors}
    busy = total = 0
    for name, *fields in map(str.split, filter(None, lines)):
        if name in names:
            # user, nice, system, idle, iowait, irq, softirq, steal; steal is what other virtual machines took
            ticks = [int(field) for field in fields[:8]]
            total += sum(ticks)
            busy += sum(ticks) - ticks[3] - ticks[4]
    return (busy, total) if total else None


def get_processor_name() -> str:
    """Return the name of the processor of this machine."""
    info = Path("/proc/cpuinfo")
    # on Linux, platform.processor() is empty or only names the instruction set
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
