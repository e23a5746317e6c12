"""Start processes that share a run with the variables of ``srun``, so that the launcher is part of what is proved."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import BENCH, BENCH_SERVER, ROOT
from tests.limits import HANG_SECONDS


def make_slurm_variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """What ``srun`` sets for one of several processes on this machine."""
    return {
        "SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_NTASKS": str(processes), "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank), "SLURM_JOB_NODELIST": "localhost", "MASTER_PORT": str(port),
    }  # fmt: skip


def start_processes(words: list[str], processes: int, cwd: Path) -> list[subprocess.Popen[str]]:
    """Start a command once per process, as ``srun`` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return [
        subprocess.Popen(
            words,
            env=alone | make_slurm_variables(rank, processes, port) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def kill_processes(out: Path, pattern: str, words: Sequence[str], first_victim: int = 0) -> list[str]:
    """Start a command of bench in two processes, and kill them as soon as a file of that pattern is there.

    Args:
        out: the store.
        pattern: of the file.
        words: the command.
        first_victim: 1 kills the second process alone; the first one must then end by itself.

    Returns:
        What each wrote to stderr.
    """
    children = start_processes([BENCH, *words, "--out", str(out), "--launcher", "slurm"], 2, out)
    deadline = time.monotonic() + HANG_SECONDS
    while not list(out.rglob(pattern)):
        assert [child.poll() for child in children] == [None, None], [child.communicate() for child in children]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for child in children[first_victim:]:
        child.send_signal(signal.SIGKILL)
    return [child.communicate(timeout=HANG_SECONDS)[1] for child in children]


def collect_findings(module: str, out: Path, processes: int) -> list[dict[str, Any]]:
    """Call the ``find_all`` of a module in several processes; return what each found."""
    import torch

    words = [module, str(out), str(processes)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = BENCH_SERVER.run(words, env, ROOT, HANG_SECONDS, f"{__name__}:fork_processes")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [torch.load(out / f"rank{rank}.pt", weights_only=False) for rank in range(processes)]


def fork_processes(module: str, out: str, processes: str) -> None:
    """In a fork of tests.bench_server: fork once per process, as ``srun`` starts them; raise if one of them fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(int(processes)):
        child = os.fork()
        if child == 0:
            try:
                os.environ.update(make_slurm_variables(rank, int(processes), port))
                share_findings(importlib.import_module(module).find_all, Path(out))
            except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a process
                traceback.print_exc()
            finally:
                os._exit(1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(codes), f"exit codes {codes}"


def share_findings(find: Callable[[Path], dict[str, Any]], out: Path) -> None:
    """In a process that was started: call a function with the folder, store its answer, and end with code 0."""
    import torch

    from engine.device import get_dist_info, init_distributed, shutdown_distributed
    from engine.processes.launcher import apply_launcher

    apply_launcher("slurm")
    init_distributed()
    torch.save(find(out), out / f"rank{get_dist_info()[0]}.pt")
    torch.distributed.barrier()
    shutdown_distributed()
    sys.stderr.flush()
    os._exit(0)  # as bench does: threads of gloo may still run
