"""Kills commands of ``bench`` by SIGKILL, begins them again, and compares what they left with an undisturbed run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from results.records.ledger_checks import check_ledgers
from results.records.record import Record
from results.records.store import scan_runs
from tests.conftest import BENCH
from tests.faults.kill_cases import CASES, KillCase
from tests.faults.kill_outcomes import list_outcomes, require_whole_databases, show_difference
from tests.faults.kill_points import KillPoint
from tests.faults.kill_server import ChildEnd, KillServer, make_server_environment

LEFTOVER = re.compile(r"^\..+\.tmp$")
LONG_AGO = 2 * 3600.0


REFUSED_REPEATS = ("was added before", "exists and is not overwritten", "is there already and not an empty folder")
"""What ``add``, ``pack``, ``submit`` and ``predict`` say when their work was done before: they replace nothing."""


class KillDriver:
    """Undisturbed runs of all cases, each made when it is first needed, and the kills.

    Args:
        folder: for everything.
        data: cache folder with the prepared sequences of ``mini_lasot``.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.server = KillServer()
        self.cases = {case.name: case for case in CASES}
        self._outcomes: dict[str, dict[str, str]] = {}
        self._steps: dict[str, list[str]] = {}
        self._seconds: dict[str, float] = {}
        self._count = 0

    def expect_outcomes(self, name: str) -> dict[str, str]:
        """What a case leaves when nobody disturbs it."""
        self.get_area(name)
        return self._outcomes[name]

    def list_steps(self, name: str) -> list[str]:
        """The steps that an undisturbed run of a case makes."""
        self.get_area(name)
        return self._steps[name]

    def get_seconds(self, name: str) -> float:
        """The seconds of CPU of an undisturbed run of a case: about the moments at which it can die."""
        self.get_area(name)
        return self._seconds[name]

    def get_area(self, name: str) -> Path:
        """The folder of an undisturbed run; without a name one in which nothing was run. Only to be read."""
        area = self.folder / f"whole {name}".strip()
        if area.is_dir():
            return area
        if not name:
            (area / "tmp").mkdir(parents=True)
            (area / "cache").mkdir()
            (area / "cache" / "mini_lasot-1").symlink_to(self.data / "mini_lasot-1")
            for made in [*self.data.glob("mini_ade-*"), *self.data.glob("mini_coco-*")]:
                shutil.copytree(made, area / "cache" / made.name)
            return area
        case = self.cases[name]
        shutil.copytree(self.get_area(case.after), area, symlinks=True)
        time.sleep(case.pause)
        end = self.run_case(case, area)
        assert end.code == 0, end.said
        self._outcomes[name], self._steps[name] = list_outcomes(area), end.steps
        self._seconds[name] = end.cpu_seconds
        return area

    def copy_start(self, case: KillCase) -> Path:
        """A new folder in which a case can be run."""
        self._count += 1
        return Path(shutil.copytree(self.get_area(case.after), self.folder / f"cut {self._count}", symlinks=True))

    def kill_command(self, case: KillCase, pattern: str) -> None:
        """Kill the real command as soon as a file of a pattern is there; begin it again."""
        area = self.copy_start(case)
        child = subprocess.Popen(
            [BENCH, *expand_words(case.words, area)],
            cwd=area,
            env=make_server_environment() | make_environment(area),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not any(area.glob(pattern)):
            assert child.poll() is None, "the command ended before it could be killed"
            time.sleep(0.003)
        child.kill()
        assert child.wait() == -signal.SIGKILL
        self.require_recovery(case, area)

    def run_case(
        self, case: KillCase, area: Path, point: KillPoint | None = None, seconds: float | None = None
    ) -> ChildEnd:
        """Run the command of a case in a folder."""
        return self.server.run(expand_words(case.words, area), make_environment(area), area, point, seconds)

    def kill_chain(self, case: KillCase, points: Iterable[KillPoint]) -> None:
        """Kill a command at each point in turn; begin it again; it ends as if nothing had been."""
        area = self.copy_start(case)
        time.sleep(case.pause)
        for point in points:
            end = self.run_case(case, area, point)
            assert end.code == -signal.SIGKILL, f"{case.name} was not killed at {point}: {end.said}\n" + "\n".join(
                end.steps
            )
        self.require_recovery(case, area)

    def require_recovery(self, case: KillCase, area: Path) -> None:
        """Begin a killed command again, two hours later; what it leaves is what an undisturbed one leaves."""
        make_leftovers_old(area)
        attempts = read_attempts(area, "running")
        end = self.run_case(case, area)
        # killed when its work was whole: what there is, is compared all the same
        was_whole = any(said in end.said for said in REFUSED_REPEATS)
        assert end.code == (2 if was_whole else 0), f"{case.name} does not go on: {end.said}"
        more_attempts = read_attempts(area, "complete")
        assert {folder: more_attempts.get(folder, 0) - 1 for folder in attempts} == attempts
        expected = self.expect_outcomes(case.name)
        drawn = self._draw_missing_pictures(area, expected.keys() - list_outcomes(area).keys())
        if any((area / "tmp").glob("bench-*")) or any((area / "cache").rglob(".*.tmp")):
            assert self._run_words(["cache", "--prune"], area).code == 0
        found = list_outcomes(area)
        if drawn:  # later, without the trained model, which some pictures need
            found, expected = leave_out_pictures(found), leave_out_pictures(expected)
        more, fewer = sorted(found.keys() - expected.keys()), sorted(expected.keys() - found.keys())
        other = sorted(
            f"{name}: {show_difference(found[name], expected[name])}"
            for name in found.keys() & expected.keys()
            if found[name] != expected[name]
        )
        assert not (more or fewer or other), f"{case.name}: left over {more}, missing {fewer}, different {other}"
        require_whole_databases(area)
        runs = read_runs(area)
        failed = [check for check in check_ledgers(area / "runs", runs) if check.state == "fails"]
        assert not failed, f"{case.name}: {failed}"
        shutil.rmtree(area)

    def _draw_missing_pictures(self, area: Path, missing: Collection[str]) -> bool:
        """Draw the pictures of a run that was killed when its record was complete; return whether there is such one."""
        runs = {name.partition("/pictures/")[0] for name in missing if "/pictures/" in name}
        for name in runs:
            (run,) = area.glob(name)
            end = self._run_words(["show", "run", str(run.relative_to(area))], area)
            assert end.code == 0, end.said
        return bool(runs)

    def _run_words(self, words: list[str], area: Path) -> ChildEnd:
        return self.server.run(words, make_environment(area), area)


def make_environment(area: Path) -> dict[str, str]:
    """Variables that keep a command within a folder."""
    return {"BENCH_CACHE": str(area / "cache"), "TMPDIR": str(area / "tmp"), "HOME": str(area)}


def read_runs(area: Path) -> list[tuple[Path, Record]]:
    """The records of a folder; none where the command was killed before it made a store."""
    return scan_runs([area / "runs"]).records if (area / "runs").is_dir() else []


def read_attempts(area: Path, status: str) -> dict[Path, int]:
    """The attempts that the records of a status count, by the folder of the run."""
    return {
        folder: record.cost.attempts for folder, record in read_runs(area) if record.status == status and record.cost
    }


def leave_out_pictures(outcomes: dict[str, str]) -> dict[str, str]:
    """Outcomes without the pictures of runs."""
    return {name: content for name, content in outcomes.items() if "/pictures/" not in name}


def expand_words(text: str, area: Path) -> list[str]:
    """The words of a command; a star stands for the one path that fits."""
    words = []
    for word in text.split():
        if "*" in word:
            (found,) = area.glob(word)
            word = found.relative_to(area).as_posix()
        words.append(word)
    return words


def make_leftovers_old(area: Path) -> None:
    """Give every hidden temporary file and folder times of two hours ago."""
    then = time.time() - LONG_AGO
    for path in [*area.rglob(".*"), *(area / "tmp").rglob("*")]:
        for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
            os.utime(each, (then, then))
