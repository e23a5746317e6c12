"""Watches the process that has this folder on its path: Python imports this module before any other.

It writes down what the process asks of the network, of other programs and of the folder for temporary files. Every
connection to another machine is refused.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

from audit_events import NETWORK, PROGRAMS  # type: ignore[import-not-found]  # beside this file, on the path

_LOG = os.open(os.environ["BENCH_AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
_TEMPORARY = os.environ["TMPDIR"]
_active = threading.local()


def _is_temporary(path: Any) -> bool:
    """Whether a name is one of the folder for temporary files itself, which all users share."""
    is_name = isinstance(path, str | bytes | os.PathLike)
    return is_name and os.path.dirname(os.path.abspath(os.fsdecode(path))) == _TEMPORARY  # noqa: PTH100, PTH120


def _describe(event: str, arguments: tuple[Any, ...]) -> list[Any] | None:
    """The words of an event to write down; ``None`` for one that is of no interest."""
    if event in NETWORK:
        if getattr(arguments[0], "family", None) == socket.AF_UNIX:
            return None  # between a process and its children
        return [str(each) for each in arguments if not hasattr(each, "fileno")]
    if event in PROGRAMS:
        words = arguments[0] if event == "os.system" else arguments[1]
        return [os.fsdecode(each) for each in words] if isinstance(words, list | tuple) else [str(words)]
    if event == "os.mkdir" and _is_temporary(arguments[0]):
        return [os.fsdecode(arguments[0]), arguments[1]]
    if event == "open" and arguments[2] & os.O_CREAT and _is_temporary(arguments[0]):
        # tempfile names the folder itself, and creates a file in it by a descriptor
        return None if os.path.isdir(arguments[0]) else [os.fsdecode(arguments[0]), arguments[2]]  # noqa: PTH112
    return None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if getattr(_active, "is_busy", False):  # what this function itself does
        return
    _active.is_busy = True
    try:
        words = _describe(event, arguments)
        if words is not None:
            os.write(_LOG, (json.dumps([event, *words]) + "\n").encode())
    finally:
        _active.is_busy = False
    if words is not None and event in NETWORK:
        raise OSError(f"{event} is refused here")


sys.addaudithook(_watch)
