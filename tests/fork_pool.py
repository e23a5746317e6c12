"""A pool of forked processes that ends by itself."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def open_fork_pool(processes: int) -> Iterator[multiprocessing.pool.Pool]:
    """Open a pool of forked processes and wait for their end.

    ``with Pool()`` ends its processes with a signal. One that dies with the lock of the task queue in its hands leaves
    the others, and the test, waiting for ever. Closed and joined, they end one after the other.

    Args:
        processes: how many.
    """
    pool = multiprocessing.get_context("fork").Pool(processes)
    try:
        yield pool
    except BaseException:
        pool.terminate()
        raise
    pool.close()
    pool.join()
