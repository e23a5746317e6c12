"""Runs command lines of ``bench``, each in a fork of one process with the libraries loaded.

Importing the libraries takes longer than most of the runs that tests make. Everything of the house is imported in the
fork, as by the real command; ``digits_run`` and the tests that kill a run start the real command.

``python -m tests.bench_server`` reads one JSON object per line: the words, the environment, the folder to run in, and
the files for stdout and stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from tests.fork_server import serve_forks
from tests.limits import HANG_SECONDS

ROOT = Path(__file__).resolve().parent.parent


class CommandLine(NamedTuple):
    """What a fork runs, and where it writes what it says.

    Attributes:
        words: the words after ``bench``.
        env: the environment.
        cwd: the folder to run in.
        out, err: files for stdout and stderr.
        function: a function ``module:name`` to call instead; the words are its arguments.
    """

    words: list[str]
    env: dict[str, str]
    cwd: str
    out: str
    err: str
    function: str = ""


def run_command_line(line: str) -> int:
    """The exit code of one command line; in a fork."""
    asked = CommandLine(**json.loads(line))
    for descriptor, name, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked.out, os.O_WRONLY | os.O_CREAT),
        (2, asked.err, os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(name, mode), descriptor)
    os.environ.clear()
    os.environ.update(asked.env)
    os.chdir(asked.cwd)
    # the first two are this server's own: the folder it was started in, and its PYTHONPATH
    sys.path[:2] = [str(Path(sys.executable).parent), *filter(None, asked.env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["bench", *asked.words]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]  # a plug-in of the command line may be called so
    importlib.invalidate_caches()
    try:
        if asked.function:
            module, _, name = asked.function.partition(":")
            getattr(importlib.import_module(module), name)(*asked.words)
            return 0
        from litevit_bench.cli import main

        return main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a process
        traceback.print_exc()
        return 1


class BenchServer:
    """The client: one server, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._said = ""  # by the server itself, above all why it could not start

    def run(self, words: list[str], env: dict[str, str], cwd: Path, timeout: float, function: str = "") -> Any:
        """As ``subprocess.run``; with ``function``, calls that one with the words instead of ``bench``.

        Raises:
            subprocess.TimeoutExpired: it took longer; whatever still runs is ended.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            process = self._start()
            assert process.stdin
            asked = CommandLine(words, env, str(cwd), str(out), str(err), function)
            process.stdin.write(json.dumps(asked._asdict()) + "\n")
            process.stdin.flush()
            code = self._read_answer(process, timeout)
            return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    def close(self) -> None:
        """Ends the server with whatever still runs in its process group."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._said = self._process.communicate()[1]
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench_server"],
                cwd=ROOT,
                # one thread for the libraries of matrices as well: those they start at import would be lost in a fork
                env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._read_answer(self._process, HANG_SECONDS)
        return self._process

    def _read_answer(self, process: subprocess.Popen[str], timeout: float) -> int:
        assert process.stdout
        if not select.select([process.stdout], [], [], timeout)[0]:
            self.close()
            raise subprocess.TimeoutExpired(process.args, timeout)
        answer = process.stdout.readline()
        if not answer:
            self.close()
            raise RuntimeError(f"the server of the command line ended: {self._said[-2000:]}")
        return int(answer)


if __name__ == "__main__":
    serve_forks(run_command_line)
