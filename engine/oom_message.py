"""A failure that torch words for its developers, as the sentence a user needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from foundation.errors import UserError

_OOM_MESSAGES = ("DefaultCPUAllocator", "out of memory", "not enough memory")


@contextmanager
def translate_oom_error() -> Iterator[None]:
    """Turn memory that ran out into a sentence.

    Raises:
        UserError: naming what to lower.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in _OOM_MESSAGES):
            raise
        raise UserError(
            "out of memory: take each batch in more pieces (--set accumulate=2, 4 ...), or lower the size of the "
            "input, of the head, or of the batch (those three make another protocol)"
        ) from error
