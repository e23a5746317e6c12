"""Let a loader's worker that cannot hand over a batch say so: torch alone would wait for that batch for ever."""

from __future__ import annotations

import multiprocessing.queues
from typing import Any

from torch._utils import ExceptionWrapper


def report_lost_batches(worker_id: int) -> None:
    """Send the error instead of a batch that could not be sent; as ``worker_init_fn`` of a ``DataLoader``.

    Batches go through files in /dev/shm, which a container limits to 64 MB. They are made in a thread of the worker;
    Python prints the error of such a thread and drops what it should have sent.

    Args:
        worker_id: number of the worker, for the message.
    """

    def send_error(queue: Any, error: BaseException, content: Any) -> None:
        index = content[0] if isinstance(content, tuple) else None
        trace = (type(error), error, error.__traceback__)
        wrapped = ExceptionWrapper(trace, f"in DataLoader worker {worker_id}")  # type: ignore[no-untyped-call]
        queue.put((index, wrapped))

    # of this worker's process alone
    multiprocessing.queues.Queue._on_queue_feeder_error = send_error  # type: ignore[attr-defined]
