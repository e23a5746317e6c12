"""Say what it means that a worker process of a data loader is gone. Imports no torch."""

from __future__ import annotations

import re

_LOST_WORKER = re.compile(r"DataLoader worker \(pid\S* [\d, ]+\) (?:is killed by signal: (?P<signal>\w+)|exited)")
"""What torch says; by a signal from another process, or with an exit code."""


def describe_lost_worker(error: BaseException) -> str | None:
    """Return the sentence for torch's error about a loader's worker that is gone; ``None`` for any other error.

    The error itself stays what it is: a stop ends such workers too, and a sweep tries a cell again that lost one.

    Args:
        error: any error.

    >>> describe_lost_worker(RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"))[:50]
    'a worker process of the data loader ended (without'
    >>> describe_lost_worker(RuntimeError("shapes cannot be multiplied")) is None
    True
    """
    found = _LOST_WORKER.search(str(error)) if isinstance(error, RuntimeError) else None
    if found is None:
        return None
    how = f"signal: {found['signal']}" if found["signal"] else "without a word"
    return (
        f"a worker process of the data loader ended ({how}), as the system ends one when memory runs out; run without "
        "them (--set workers=0), or free some memory and start the same command again"
    )
