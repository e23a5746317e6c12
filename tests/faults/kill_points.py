"""What a child does to a file system, step by step, and its end by SIGKILL at one of these steps.

Only in the child: nothing of the product knows of it. A step is named by what happens to which file, for example
``rename .record.json.*.tmp``; random parts of names are stars. Steps outside of the watched folder do not count.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

RANDOM_PARTS = (
    (re.compile(r"(?<=[.-])[a-z0-9_]{8}(?=\.tmp(?=/|$)|/|$)"), "*"),  # tempfile, behind a name
    (re.compile(r"(?<=\btmp)[a-z0-9_]{8}(?=/|$)"), "*"),  # tempfile, without a name
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}(?=\.jsonl)"), "*"),  # the writer of a ledger
    (re.compile(r"[0-9a-f]{16,64}"), "*"),
    (re.compile(r"\d{8}_\d{6}"), "*"),  # mmengine's folders of logs
)


class KillPoint(NamedTuple):
    """Where a child ends.

    Attributes:
        step: pattern (fnmatch) of the step, such as ``rename .record.json.*``; empty: no end, steps are only listed.
        count: at its how manieth occurrence.
        is_torn: only half of what was written to the file since it was opened is there.
    """

    step: str = ""
    count: int = 1
    is_torn: bool = False


class StepWatch:
    """Lists the steps of this process in a file, and ends the process at one of them.

    Args:
        root: the watched folder.
        point: where to end.
        listing: file for the names of the steps, one a line.
    """

    def __init__(self, root: str, point: KillPoint, listing: str) -> None:
        self.root, self.point, self.process = os.path.realpath(root), point, os.getpid()
        self.listing = os.open(listing, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.count = 0
        self.sizes: dict[Path, int] = {}

    def install(self) -> None:
        """Watch from now on; there is no way back."""
        sys.addaudithook(self._hear)
        for name in ("rename", "replace"):
            setattr(os, name, self._wrap_rename(getattr(os, name)))
        fsync = os.fsync

        def watch_fsync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            self.pass_step("fsync", str(Path(f"/proc/self/fd/{number}").readlink()))
            fsync(number)

        os.fsync = watch_fsync
        connect = sqlite3.connect

        def watch_connect(file: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(file, *arguments, **options)
            connection.set_trace_callback(lambda text: self.pass_step(text.split()[0].lower(), os.fsdecode(file)))
            return connection

        sqlite3.connect = watch_connect  # type: ignore[assignment]

    def pass_step(self, event: str, path: str) -> None:
        """Count a step; end here if it is the one."""
        whole = os.path.realpath(path)
        if os.getpid() != self.process or not whole.startswith(self.root + os.sep):
            return
        name = f"{event} {hide_random_parts(os.path.relpath(whole, self.root))}"
        os.write(self.listing, f"{name}\n".encode())
        if not self.point.step or not fnmatch(name, self.point.step):
            return
        self.count += 1
        if self.count == self.point.count:
            if self.point.is_torn:
                self._tear(Path(whole))
            os.kill(os.getpid(), signal.SIGKILL)

    def _tear(self, path: Path) -> None:
        if path.is_file():
            before = self.sizes.get(path, 0)
            os.truncate(path, before + (path.stat().st_size - before) // 2)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and _is_writing(mode, flags):
                self._note_open(os.fsdecode(path))
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            path = arguments[0]
            # relative to a descriptor, as rmtree does it: the folder itself is a step
            if isinstance(path, str | bytes | os.PathLike) and arguments[-1] in (-1, None):
                self.pass_step(event.rpartition(".")[2], os.fsdecode(path))

    def _note_open(self, path: str) -> None:
        self.pass_step("open", path)
        whole = Path(os.path.realpath(path))
        self.sizes[whole] = whole.stat().st_size if whole.is_file() else 0

    def _wrap_rename(self, rename: Callable[..., None]) -> Callable[..., None]:
        def watch_rename(source: Any, target: Any, **options: Any) -> None:
            self.pass_step("rename", os.fsdecode(source))
            rename(source, target, **options)
            self.pass_step("renamed", os.fsdecode(target))

        return watch_rename


def hide_random_parts(path: str) -> str:
    """A path with stars for what differs from one run of a command to the next."""
    for pattern, star in RANDOM_PARTS:
        path = pattern.sub(star, path)
    return path


def _is_writing(mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) or (mode is not None and bool(set(mode) & set("wax+")))
