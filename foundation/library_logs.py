"""Keep what libraries log off the terminal, where we say it ourselves or where it does not apply."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_logging(level: int) -> Iterator[None]:
    """No log record of ``level`` or below, from any library, for the length of a block.

    >>> with silence_logging(logging.WARNING):
    ...     logging.getLogger("library").warning("not seen")
    """
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)
