"""Generate items ahead in a thread: frames are decoded while the network processes the ones before."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

PREFETCH_DEPTH = 8
"""Largest number of frames that wait. A whole second of 1080p video would be 180 MiB."""
_POLL_SECONDS = 0.1  # seconds between two checks whether the other side has stopped


class _RaisedError:
    """Marks in the queue that generating an item raised an error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _EndOfItems:
    """Marks in the queue that there are no more items."""


class PrefetchIterator(Generic[T]):
    """Iterate over items that are generated in a separate thread.

    If generating an item raises an error, the error is raised when that item is requested, after all items before it.
    ``close``, or the end of a ``with`` block, stops the thread and closes the generator.

    Args:
        items: generates the items.
        max_prefetched: largest number of items that wait to be requested.

    Example:
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
        item = self._queue.get()  # the thread always ends with a marker, so this cannot wait forever
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
        """Stop the thread and wait for it, at most until the current frame is decoded."""
        self._stop.set()
        while self._thread.is_alive():
            with suppress(Empty):  # make room in the queue, so that a waiting thread notices the stop
                self._queue.get_nowait()
            self._thread.join(_POLL_SECONDS)

    def _produce(self, items: Generator[T, None, None]) -> None:
        """Run in the thread: put all items into the queue, then a marker."""
        last: _RaisedError | _EndOfItems = _EndOfItems()
        try:
            # a generator must be closed in the thread that runs it
            with closing(items):
                for item in items:
                    if not self._put_until_stopped(item):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where the item is requested
            last = _RaisedError(error)
        self._put_until_stopped(last)

    def _put_until_stopped(self, item: T | _RaisedError | _EndOfItems) -> bool:
        """Put an item into the queue; return whether that was possible before the thread was stopped."""
        while not self._stop.is_set():
            try:
                # with a timeout, because a put without one could not be interrupted by close()
                self._queue.put(item, timeout=_POLL_SECONDS)
            except Full:
                continue
            return True
        return False
