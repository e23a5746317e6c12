"""Small, full and read-only disks for tests, mounted where no other process sees them.

A test calls ``run_on_small_disks`` with a function of its module. The function runs in a fork that has mounts of its
own (as by ``unshare -m``), so all of them are gone when it ends, however it ends. Permission bits do not stop root, and
only root may mount: ``needs_mounts`` skips such a test by name elsewhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.cli.main import main
from tests.limits import HANG_SECONDS

_CLONE_NEWNS, _MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18


class Said(NamedTuple):
    """What a command gave: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line on stderr, where the error stands."""
        return self.err.splitlines()[-1]


@functools.cache
def _can_mount() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    words = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(words, capture_output=True, timeout=HANG_SECONDS).returncode == 0
    except FileNotFoundError:
        return False


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="a small disk is mounted, which only root may do")


def run_on_small_disks(function: Callable[..., None], *words: str) -> None:
    """Call a function of a test module in a fork with mounts of its own; fails as the function fails.

    Args:
        function: a function of a module of ``tests``; it must not use fixtures.
        words: its arguments.
    """
    from tests.conftest import BENCH_SERVER, ROOT

    target = f"{function.__module__}:{function.__qualname__}"
    env = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    done = BENCH_SERVER.run(list(words), env, ROOT, HANG_SECONDS, function=target)
    assert done.returncode == 0, done.stderr[-6000:]


class SmallDisk:
    """A disk in memory with few bytes or few inodes; only in a fork of ``run_on_small_disks``.

    Args:
        folder: where it is mounted; made if it is not there.
        num_bytes: its size; a multiple of 4096.
        num_files: its number of inodes, of which its root folder takes one.
    """

    def __init__(self, folder: Path, num_bytes: int, num_files: int = 10_000) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _leave_shared_mounts()
        _mount("tmpfs", folder, 0, f"size={num_bytes},nr_inodes={num_files},mode=755")

    def resize(self, num_bytes: int, num_files: int = 10_000) -> None:
        """Give it another size; what it holds stays."""
        _mount("tmpfs", self.folder, _MS_REMOUNT, f"size={num_bytes},nr_inodes={num_files}")

    def leave_free(self, num_bytes: int) -> None:
        """Fill it with a file until only some bytes are free; 0 removes that file first."""
        filler = self.folder / "filler"
        filler.unlink(missing_ok=True)
        state = os.statvfs(self.folder)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_frsize - num_bytes))

    def empty(self) -> None:
        """Remove what ``leave_free`` has put there."""
        (self.folder / "filler").unlink()

    def set_read_only(self, read_only: bool = True) -> None:
        """Refuse or allow writes."""
        _mount("tmpfs", self.folder, _MS_REMOUNT | (_MS_RDONLY if read_only else 0), "")


def bench(*words: str) -> Said:
    """Run a command line in this process, and return what it gave."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    return Said(code, out.getvalue(), err.getvalue())


def list_leftovers(*folders: Path) -> list[str]:
    """Half-written files and folders below some folders."""
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.name.endswith(".tmp") or (path.name.startswith(".") and path.name not in (".lock",))
    ]


@functools.cache
def _leave_shared_mounts() -> None:
    """Give this process mounts of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("none", Path("/"), _MS_REC | _MS_PRIVATE, "")


def _mount(kind: str, folder: Path, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [part.encode() for part in ("none", str(folder), kind)]
    if libc.mount(*words, flags, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {folder}: {os.strerror(ctypes.get_errno())}")
