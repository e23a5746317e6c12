"""The garbage collector of Python, where it costs more than it frees."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Switch off the garbage collector inside the context.

    For commands that read thousands of records: they are a million objects that all stay alive, and the collector
    would visit them again and again, which takes longer than reading them. Not for a training, whose cycles can hold
    large tensors.

    >>> with pause_garbage_collection():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
