"""Hundreds of kills: each command at every step that it makes, and at random moments; with a report.

``python -m tests.faults.soak_kills FOLDER [KILLS]`` needs no pytest; the report is ``FOLDER/report.txt``. A command
is killed two or three times before it may end, so that a kill also meets what an earlier one left.
"""

from __future__ import annotations

import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from detection.data.mini_coco import make_mini_coco
from foundation.environment import get_cache_dir
from segmentation.data.mini_ade import make_mini_ade
from tests.faults.kill_cases import CASES, KillCase
from tests.faults.kill_driver import KillDriver
from tests.faults.kill_points import KillPoint
from tracking.data.mini_lasot import ensure_mini_lasot

NUM_KILLS = 300
KILLS_PER_CHAIN = 3


class KillReport(NamedTuple):
    """How many kills were tried, by command and kind, and what did not end as if nothing had been."""

    tried: Counter[tuple[str, str]]
    faults: list[str]

    def format(self) -> str:
        """The table of counts, one line a command, and the faults."""
        kinds = sorted({kind for _, kind in self.tried})
        lines = [" | ".join(["command", *kinds, "all"])]
        for name in sorted({name for name, _ in self.tried}):
            counts = [self.tried[name, kind] for kind in kinds]
            lines.append(" | ".join([name, *map(str, counts), str(sum(counts))]))
        total = sum(self.tried.values())
        lines.append(f"{total} kills; {len(self.faults)} commands did not end as if nothing had been")
        return "\n".join([*lines, *self.faults]) + "\n"


def kill_many(driver: KillDriver, num_kills: int, seed: int = 0) -> KillReport:
    """Kill until there are so many kills: each step of each command in turn, with random moments in between.

    Args:
        driver: of a folder.
        num_kills: how many to make at least.
        seed: of the choice.
    """
    draw = random.Random(seed)
    report = KillReport(Counter(), [])
    plans = {case.name: _list_points(driver, case, draw) for case in CASES}
    while sum(report.tried.values()) < num_kills:
        case = draw.choice([case for case in CASES if plans[case.name]] or list(CASES))
        area = driver.copy_start(case)
        for _ in range(KILLS_PER_CHAIN):
            point = plans[case.name].pop() if plans[case.name] and draw.random() < 0.7 else None
            seconds = None if point else draw.uniform(0.0, driver.get_seconds(case.name))
            if driver.run_case(case, area, point, seconds).code == -signal.SIGKILL:
                kind = "random moment" if point is None else "torn file" if point.is_torn else point.step.split()[0]
                report.tried[case.name, kind] += 1
        try:
            driver.require_recovery(case, area)
        except AssertionError as error:
            report.faults.append(f"{area}: {str(error)[:2000]}")
        (driver.folder / "report.txt").write_text(report.format())
    return report


def _list_points(driver: KillDriver, case: KillCase, draw: random.Random) -> list[KillPoint]:
    """Every step of an undisturbed run as a place to die, in random order; half of the writes leave half a file."""
    seen: Counter[str] = Counter()
    points = []
    for step in driver.list_steps(case.name):
        seen[step] += 1
        can_tear = step.startswith(("fsync ", "rename "))
        pattern = step.replace("[", "[[]")
        points.append(KillPoint(pattern, seen[step], can_tear and draw.random() < 0.5))
    draw.shuffle(points)
    return points


def run_soak(folder: Path, num_kills: int = NUM_KILLS) -> KillReport:
    """Kill; the report is written after each command that has recovered.

    Args:
        folder: for everything.
        num_kills: how many kills.
    """
    ensure_mini_lasot()
    make_mini_ade(get_cache_dir())
    make_mini_coco(get_cache_dir())
    driver = KillDriver(folder, get_cache_dir())
    try:
        return kill_many(driver, num_kills)
    finally:
        driver.server.close()


if __name__ == "__main__":
    place = Path(sys.argv[1]).absolute()
    place.mkdir(parents=True)
    found = run_soak(place, int(sys.argv[2]) if len(sys.argv) > 2 else NUM_KILLS)
    sys.stdout.write(found.format())
    sys.exit(bool(found.faults))
