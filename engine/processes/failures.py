"""Say in every process of a run why it failed: a broken connection alone tells nobody what happened in another one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.device import get_dist_info
from engine.processes.stop_signals import find_stop, raise_stop_signals, use_default_signals
from foundation.errors import BenchError
from foundation.storage.write_faults import find_storage_error

_FAILURE_KEY = "bench_failure"
"""Where the processes find, beside torch's own entries, the first failure of one of them."""


@contextmanager
def share_failures() -> Iterator[None]:
    """Leave the reason of a failure for the other processes, and give theirs instead of a broken connection.

    SIGTERM, by which ``torchrun`` and Slurm end the processes that are left, stops the first one as Ctrl-C does, so
    that the record does not stay ``running``. It ends another process at once: that one writes no record, and while it
    waits for the first it would not hear the signal.

    Raises:
        BenchError: another process of the run failed or is gone.
        StopSignal: the processes of the run were told to stop.
    """
    rank, num_processes = get_dist_info()
    if num_processes == 1:
        yield
        return
    with use_default_signals() if rank > 0 else raise_stop_signals():
        try:
            yield
        except BaseException as error:
            lost = _is_lost_connection(error)
            reason = _read_failure() if lost or isinstance(error, KeyboardInterrupt) else None
            if reason is not None:
                raise BenchError(reason) from error
            if lost:
                # the signal ended the others a moment before this one heard it
                if (stop := find_stop()) is not None:
                    raise stop from error
                raise BenchError(
                    "another process of this run is gone (its own message says why, unless it was killed), and the "
                    "others cannot go on without it; the same command goes on from the last checkpoint"
                ) from error
            _leave_failure(error)
            raise


def _is_lost_connection(error: BaseException) -> bool:
    import torch.distributed as dist

    # gloo's errors are plain RuntimeErrors that name its source file
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/" in str(error))


def _leave_failure(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):  # the others are interrupted too
        return
    error = find_storage_error(error) or error
    reason = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
    try:
        # the first one stays: later ones follow from it
        _get_store().compare_set(_FAILURE_KEY, "", f"process {os.environ['RANK']} of this run failed: {reason}")
    except (RuntimeError, ValueError):  # the process that keeps the store is gone, or there is none yet
        return


def _read_failure() -> str | None:
    try:
        store = _get_store()
        # ``get`` alone would wait for the key
        return store.get(_FAILURE_KEY).decode() if store.check([_FAILURE_KEY]) else None
    except (RuntimeError, ValueError):
        return None


def _get_store() -> Any:
    """Return where the processes met. It needs no connection between them, as their groups do."""
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()
