"""Failures that torch words for its developers, as the sentences a user needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from foundation.errors import BenchError, UserError

_WORKER = "\nOriginal Traceback"
_NO_MEMORY = ("DefaultCPUAllocator", "out of memory", "not enough memory")


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Turn two failures of a training into sentences: an item a loader process refused, and memory that ran out.

    Raises:
        BenchError: of the same class as the loader process raised, without the trace that torch wraps it in.
        UserError: out of memory; names what to lower.
    """
    try:
        yield
    except BenchError as error:
        text = str(error)
        if _WORKER not in text:
            raise
        last = text.rstrip().splitlines()[-1]
        raise type(error)(last.partition(": ")[2] or last) from None
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in _NO_MEMORY):
            raise
        raise UserError(
            "out of memory: take each batch in more pieces (--set accumulate=2, 4 ...), or lower the size of the "
            "input, of the head, or of the batch (those three make another protocol)"
        ) from error
