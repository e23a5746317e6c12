"""Runs command lines of ``bench`` in forks of one process that has loaded everything, and lets them die.

As ``tests.bench_server``, but the rooms of the house are loaded before the fork as well, as nothing here depends on
the moment of their import, and a fork has a point or a moment at which it ends by SIGKILL.

``python -m tests.faults.kill_server`` reads one JSON object per line and answers with the exit code, or the negative
number of the signal.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from foundation.environment import NO_RESTART_VAR
from tests.faults.kill_points import KillPoint, StepWatch
from tests.fork_server import LIBRARIES, list_rooms
from tests.limits import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]


class ChildOrder(NamedTuple):
    """What a fork runs.

    Attributes:
        words: the words after ``bench``.
        env: variables beside those of the server.
        folder: the watched folder, in which the fork is started.
        out: file for stdout and stderr.
        point: where it ends.
        seconds: after how many seconds it is killed, wherever it is; ``None`` for never.
    """

    words: list[str]
    env: dict[str, str]
    folder: str
    out: str
    point: KillPoint
    seconds: float | None = None


def run_order(order: ChildOrder) -> int:
    """The exit code of a command line; in a fork."""
    for descriptor, name, mode in ((0, os.devnull, os.O_RDONLY), (1, order.out, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(name, mode | os.O_APPEND), descriptor)
    os.dup2(1, 2)
    os.environ.update(order.env)
    os.chdir(order.folder)
    sys.argv = ["bench", *order.words]
    # the steps of a killed child are a list beside its output
    StepWatch(order.folder, order.point, f"{order.out}.steps").install()
    try:
        from litevit_bench.cli import main

        return main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a process
        traceback.print_exc()
        return 1


def serve_orders() -> None:
    """Load everything, write 0, and answer each order."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in LIBRARIES:
        importlib.import_module(name)
    for room in sorted(list_rooms() - {"tests"}):
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):  # of an extra that is not installed
                    importlib.import_module(module.name)
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would lose the threads of the libraries"  # noqa: PTH208
    gc.collect()
    gc.freeze()
    answers.write(json.dumps((0, time.process_time())) + "\n")
    answers.flush()
    for line in sys.stdin:
        content = json.loads(line)
        order = ChildOrder(**content | {"point": KillPoint(*content["point"])})
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.setpgid(0, 0)
                code = run_order(order)
                atexit._run_exitfuncs()
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        answers.write(json.dumps(_wait_for(child, order.seconds)) + "\n")
        answers.flush()


def _wait_for(child: int, seconds: float | None) -> tuple[int, float]:
    """The end of a child, which is killed after so many seconds, and the seconds of CPU that it used."""
    if seconds is not None:
        descriptor = os.pidfd_open(child)
        if not select.select([descriptor], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
        os.close(descriptor)
    _, status, used = os.wait4(child, 0)
    # helpers of a killed child find that their parent is gone; what they still write belongs to the kill
    while _has_members(child):
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def make_server_environment() -> dict[str, str]:
    """Variables of the server: the user's caches and cards, some of which are read at import, are those of nobody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1", "BENCH_CACHE": os.devnull}
    # a forked child must not start itself again, which would take the points of its death from it
    return kept | own | {NO_RESTART_VAR.name: "1"}


class ChildEnd(NamedTuple):
    """How a child ended, what it used and said, and the steps that it made."""

    code: int
    cpu_seconds: float
    said: str
    steps: list[str]


class KillServer:
    """The client: one server, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._count = 0
        self.cpu_seconds = 0.0

    def run(
        self,
        words: list[str],
        env: dict[str, str],
        folder: Path,
        point: KillPoint | None = None,
        seconds: float | None = None,
    ) -> ChildEnd:
        """Run a command line in a folder, and let it die at a point, or after so many seconds."""
        self._count += 1
        out = folder.parent / f".{folder.name}.said-{self._count}"
        steps = Path(f"{out}.steps")
        for file in (out, steps):  # a child may die before it makes them
            file.touch()
        order = ChildOrder(words, env, str(folder), str(out), point or KillPoint(), seconds)
        process = self._start()
        assert process.stdin
        process.stdin.write(json.dumps(order._asdict()) + "\n")
        process.stdin.flush()
        code, used = self._read_answer(process, HANG_SECONDS)
        self.cpu_seconds += used
        end = ChildEnd(code, used, out.read_text(errors="replace"), steps.read_text().splitlines())
        out.unlink()
        steps.unlink()
        return end

    def close(self) -> None:
        """End the server."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.kill_server"],
                cwd=ROOT,
                env=make_server_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            self.cpu_seconds += self._read_answer(self._process, HANG_SECONDS)[1]
        return self._process

    def _read_answer(self, process: subprocess.Popen[str], timeout: float) -> tuple[int, float]:
        assert process.stdout
        answer = process.stdout.readline() if select.select([process.stdout], [], [], timeout)[0] else ""
        if not answer:
            self.close()
            raise RuntimeError("the server of the kills ended, or stands still")
        code, used = json.loads(answer)
        return int(code), float(used)


if __name__ == "__main__":
    serve_orders()
