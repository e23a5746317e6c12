"""A copy of the source from which one guard at a time is taken out, and the process that runs tests in it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark.structures import ParameterSet

from tests.conftest import ROOT
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
        self._output = folder / "output.txt"
        shutil.copytree(ROOT, self.root, ignore=_list_ignored)
        self._server: subprocess.Popen[str] | None = None

    def passes(self, test: str) -> bool:
        """Whether a test (or several) passes against the copy as it now is."""
        # the guard's test may itself be a soak test, and a test that is left out would prove nothing
        words = ["-q", "-x", "-p", "no:cacheprovider", "-m", "soak or not soak", *test.split()]
        code = self._ask(json.dumps(words))
        assert code in (0, 1), f"no test ran (exit code {code}): {self._output.read_text()[-1000:]}"
        return code == 0

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
        assert "NameError" not in self._output.read_text(), "red for a name that is not there; mend this test"
        return passed

    def close(self) -> None:
        """Ends the server with whatever still runs in its process group."""
        if self._server:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.communicate()
            self._server = None

    def _ask(self, line: str) -> int | None:
        """The server's answer; none if it died. It is started when none runs."""
        if self._server is None or self._server.poll() is not None:
            self._server = self._start()
            if self._answer(self._server, "the start") is None:
                return None
        assert self._server.stdin
        self._server.stdin.write(line + "\n")
        self._server.stdin.flush()
        return self._answer(self._server, line)

    def _answer(self, server: subprocess.Popen[str], what: str) -> int | None:
        assert server.stdout
        if not select.select([server.stdout], [], [], HANG_SECONDS)[0]:
            self.close()
            raise TimeoutError(f"{what} took more than {HANG_SECONDS:.0f} s")
        answer = server.stdout.readline()
        if not answer:
            self.close()
        return int(answer) if answer else None

    def _start(self) -> subprocess.Popen[str]:
        own = {
            "PYTHONPATH": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # no test needs one; without compiled files they load slowly
        }
        with self._output.open("w") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.guard_server", str(self._output)],
                cwd=self.root,
                env=os.environ | own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,
            )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceCopy]:
    """A copy of the source tree."""
    made = SourceCopy(tmp_path_factory.mktemp("source"))
    yield made
    made.close()
