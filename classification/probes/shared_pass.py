"""Share a feature pass among the processes of a run: the first one leads, fits and scores, the others compute features.

Each process computes whole batches, the same ones that a single process would compute, so no bit of a feature depends
on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.device import get_dist_info
from foundation.errors import BenchError

FeatureBatch = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Features (b, C) and labels (b,) of one batch."""

BatchStream = Callable[[str, Sequence[int] | None, int, int], Iterator[FeatureBatch]]
"""Computes batches number r, r + n, r + 2 n ... of a split, or of some of its items: split, items, r, n."""


class PassOrder(NamedTuple):
    """What the first process asks of the others: batches of this split and these items. See ``BatchStream``."""

    split: str
    indices: Sequence[int] | None


class FeatureCrew:
    """The processes of a run that compute features together.

    Args:
        group: their process group.
    """

    def __init__(self, group: Any) -> None:
        self._group = group
        self.rank, self.size = get_dist_info()

    def lead_pass(self, order: PassOrder, num_batches: int, compute: BatchStream) -> Iterator[FeatureBatch]:
        """Yield all batches in order, as the first process.

        Args:
            order: what is computed.
            num_batches: number of batches over all processes.
            compute: computes the batches of a process.

        Raises:
            BenchError: the first error of any process.
        """
        self._tell(order)
        own = compute(*order, 0, self.size)
        for _ in range(0, num_batches, self.size):
            self._tell("next")
            for answer in self._gather(_take_next(own)) or ():
                if isinstance(answer, BenchError):
                    raise answer
                if answer is not None:
                    yield answer

    def serve_passes(self, compute: BatchStream) -> None:
        """Compute what the first process asks for until it is done, as any other process.

        Args:
            compute: computes the batches of a process.
        """
        own: Iterator[FeatureBatch] = iter(())
        while (asked := self._tell(None)) != "stop":
            if isinstance(asked, PassOrder):
                own = compute(*asked, self.rank, self.size)
            else:
                self._gather(_take_next(own))

    def dismiss(self) -> None:
        """Tell the other processes that no more passes follow."""
        self._tell("stop")

    def _tell(self, message: PassOrder | str | None) -> Any:
        """Send a message of the first process to all; return it."""
        import torch.distributed as dist

        sent = [message]
        dist.broadcast_object_list(sent, src=0, group=self._group)
        return sent[0]

    def _gather(self, answer: FeatureBatch | BenchError | None) -> list[FeatureBatch | BenchError | None] | None:
        """Return the answers of all processes in the first one, ``None`` in others."""
        import torch.distributed as dist

        answers: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(answer, answers, dst=0, group=self._group)
        return answers


@contextmanager
def open_feature_crew() -> Iterator[FeatureCrew | None]:
    """Open the crew of a run, ``None`` with one process; at the end the first process dismisses the others."""
    if get_dist_info()[1] == 1:
        yield None
        return
    import torch.distributed as dist

    # The others wait while the first one fits, which may take longer than the 30 minutes after which gloo gives up; and
    # features are exchanged in memory, which nccl cannot.
    group: Any = dist.new_group(backend="gloo", timeout=timedelta(days=30))
    crew = FeatureCrew(group)
    try:
        yield crew
    except BenchError:  # one that the processes exchanged, or of the first one between two passes
        _close_crew(crew, group)
        raise
    # after any other error the others may be in the middle of an exchange, where both would wait for each other: this
    # process ends, which they notice
    _close_crew(crew, group)


def _close_crew(crew: FeatureCrew, group: Any) -> None:
    import torch.distributed as dist

    if crew.rank == 0:
        crew.dismiss()
    dist.destroy_process_group(group)


def _take_next(batches: Iterator[FeatureBatch]) -> FeatureBatch | BenchError | None:
    """Return the next batch, ``None`` after the last one, or the error that prevents it."""
    try:
        return next(batches, None)
    except BenchError as error:  # the first process raises it; here it would leave that one waiting
        return error
