"""A copy of the source from which one guard at a time is taken out, and tests that are run in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark.structures import ParameterSet

from tests.conftest import BENCH_SERVER, ROOT
from tests.fork_pytest import run_pytest
from tests.limits import HANG_SECONDS


class Guard(NamedTuple):
    """A piece of source that guards, what stands there without it, and the test that must notice.

    ``soak`` is for a guard whose test is slow, beside others of the same mechanism that are tested in every run.
    """

    file: str
    code: str
    replacement: str
    test: str
    soak: bool = False


def list_guard_names(guards: Mapping[str, Guard]) -> list[ParameterSet]:
    """The names of guards as parameters of a test, marked where a guard is a soak test."""
    return [
        pytest.param(name, id=name, marks=[pytest.mark.soak] if guard.soak else []) for name, guard in guards.items()
    ]


def _list_ignored(folder: str, names: list[str]) -> set[str]:
    """What is not copied; ``data`` and ``runs`` at the root hold files of the user, below it packages of that name."""
    at_root = {"runs", "data"} if Path(folder) == ROOT else set()
    return {name for name in names if name.startswith(".") or name == "__pycache__" or name in at_root}


class SourceCopy:
    """A copy of the source tree, without compiled files: none is read there and none is written."""

    def __init__(self, folder: Path) -> None:
        self.root = folder.resolve() / "bench"
        self._said = ""  # by pytest in its last run
        shutil.copytree(ROOT, self.root, ignore=_list_ignored)

    def passes(self, test: str) -> bool:
        """Whether a test (or several) passes against the copy as it now is."""
        # the guard's test may itself be a soak test, and a test that is left out would prove nothing; nobody reads how
        # it failed, so the modules need no rewriting that explains assertions
        words = ["-q", "-x", "-p", "no:cacheprovider", "--assert=plain", "-m", "soak or not soak", *test.split()]
        own = {
            "PYTHONPATH": str(self.root),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # no test needs one; without compiled files they load slowly
        }
        function = f"{run_pytest.__module__}:{run_pytest.__name__}"
        done = BENCH_SERVER.run(words, os.environ | own, self.root, HANG_SECONDS, function)
        self._said = done.stdout + done.stderr
        assert done.returncode in (0, 1), f"no test ran (exit code {done.returncode}): {self._said[-1000:]}"
        return done.returncode == 0

    def passes_without(self, guard: Guard) -> bool:
        """Whether the guard's test passes although the guard is taken out."""
        path = self.root / guard.file
        whole = path.read_text()
        assert whole.count(guard.code) == 1, "the guard has moved; mend this test"
        path.write_text(whole.replace(guard.code, guard.replacement))
        try:
            passed = self.passes(guard.test)
        finally:
            path.write_text(whole)
        assert "NameError" not in self._said, "red for a name that is not there; mend this test"
        return passed


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> SourceCopy:
    """A copy of the source tree."""
    return SourceCopy(tmp_path_factory.mktemp("source"))
