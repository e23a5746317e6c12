"""Work ahead in a thread: frames are decoded while the network looks at those before."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

PREFETCH_DEPTH = 8
"""Frames that wait at most: a second of 1080p would be 180 MiB."""
_POLL_SECONDS = 0.1  # seconds between two looks at whether the other side has gone


class _RaisedError:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _EndOfItems:
    pass


class PrefetchIterator(Generic[T]):
    """An iterator over ``items`` that are made in a thread of their own, at most ``max_prefetched`` ahead.

    What making an item raises is raised where the item is asked for, after those before it. ``close`` (or the end of
    a ``with``) stops the thread, which closes ``items``.

    >>> with PrefetchIterator(number * number for number in range(3)) as squares:
    ...     list(squares)
    [0, 1, 4]
    """

    def __init__(self, items: Generator[T, None, None], max_prefetched: int = PREFETCH_DEPTH) -> None:
        self._queue: Queue[T | _RaisedError | _EndOfItems] = Queue(max_prefetched)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, args=(items,), name="frames ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._stop.is_set():
            raise StopIteration
        item = self._queue.get()  # the thread always ends with a mark, so this cannot wait for ever
        if isinstance(item, _EndOfItems):
            self._stop.set()
            raise StopIteration
        if isinstance(item, _RaisedError):
            self._stop.set()
            raise item.error
        return item

    def __enter__(self) -> PrefetchIterator[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread and wait for it (for the frame it is decoding)."""
        self._stop.set()
        while self._thread.is_alive():
            with suppress(Empty):  # make room, so that it sees the stop
                self._queue.get_nowait()
            self._thread.join(_POLL_SECONDS)

    def _produce(self, items: Generator[T, None, None]) -> None:
        last: _RaisedError | _EndOfItems = _EndOfItems()
        try:
            with closing(items):
                for item in items:
                    if not self._put_until_stopped(item):
                        return
        except BaseException as error:  # noqa: BLE001 - handed on to who asks for the item
            last = _RaisedError(error)
        self._put_until_stopped(last)

    def _put_until_stopped(self, item: T | _RaisedError | _EndOfItems) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except Full:
                continue
            return True
        return False
