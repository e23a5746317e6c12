"""Frames decoded ahead of their use, by a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from tracking.crops import Image
from tracking.readers.sequence import Video

DEPTH = 4
"""Frames that wait decoded; a 1080p frame is 6 MB."""


@contextmanager
def decoded_ahead(video: Video, depth: int = DEPTH) -> Iterator[Iterator[Image]]:
    """The frames of a sequence, in order; while one is used, a thread reads up to ``depth`` further ones.

    Decoding lets go of Python's lock, so the network runs meanwhile. An error is raised where its frame would have
    come. The thread has ended when the block is left, however it is left.

    Args:
        video: the sequence.
        depth: 0 decodes in line.

    Raises:
        DataError: a frame is missing or unreadable (the sentence names it).
    """
    if depth == 0:
        yield map(video.read, range(len(video.frames)))
        return
    reader = ThreadPoolExecutor(1, thread_name_prefix=f"frames of {video.name}")
    try:
        yield _in_order(reader, video, depth)
    finally:
        reader.shutdown(wait=True, cancel_futures=True)


def _in_order(reader: ThreadPoolExecutor, video: Video, depth: int) -> Iterator[Image]:
    waiting: deque[Future[Image]] = deque()
    for number in range(len(video.frames)):
        waiting.append(reader.submit(video.read, number))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
