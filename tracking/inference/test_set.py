"""Track a whole test set the way the device wants it, go on from what is there, and say how fast it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.device import agree, world
from tracking.data.readers.sequence import Video
from tracking.inference.batched import track_together
from tracking.inference.multiprocess import cores, one_thread, track_spread
from tracking.inference.result_files import is_whole, prepare
from tracking.inference.sequential import track_all
from tracking.inference.tracker_factory import TrackerMaker
from tracking.models.candidate_elimination import Ways
from tracking.profile import speed_of

WORTH = 1000
"""Frames that make up for starting one more process (about 5 s), where their number is not given."""


def track_set(
    make: TrackerMaker, videos: Sequence[Video], folder: Path, label: str, ways: Ways | None = None
) -> dict[str, Any]:
    """Track sequences into ``folder``; those whose files are there, whole and by the same tracker, are passed over.

    On a CPU every sequence is tracked by one thread, frame by frame, so that the files are the same bytes whatever
    the number of processes and however often the run was stopped. On a GPU several sequences share each call of the
    network; other batches round differently, and the batch is part of what makes files the same tracker's. Under
    ``torchrun`` each process takes its share.

    Returns:
        How it was done and how fast it was: see ``speed.speed_of``.

    Raises:
        DataError: see ``evaluate.track``.
        BenchError: a process was ended from outside.
    """
    ways = ways or Ways()
    batch = ways.batch if make.device == "cuda" else 1
    made_by = {**make.made_by(), "batch": batch}
    agree(lambda: prepare(folder, videos, made_by))
    rank, size = world()
    mine = sorted(videos, key=lambda video: -len(video.frames))[rank::size]
    left = [video for video in mine if not is_whole(folder, video)]
    if left and make.device == "cuda":
        track_together(make(), left, folder, label, batch)
    elif left:
        processes = 1 if size > 1 else _processes(ways.processes, left)
        if processes > 1:
            track_spread(make, left, folder, label, processes)
        else:
            with one_thread():
                track_all(make(), left, folder, label)
    if size > 1:
        _wait_for_all()
    return speed_of(folder, videos, made_by)


def _processes(asked: int | None, left: Sequence[Video]) -> int:
    worth = max(1, sum(len(video.frames) for video in left) // WORTH)
    return min(len(left), asked or min(cores(), worth))


def _wait_for_all() -> None:
    """A barrier that is patient: shares differ by more than the half hour after which gloo gives up."""
    import torch.distributed as dist

    group: Any = dist.new_group(backend="gloo", timeout=timedelta(days=30))
    dist.barrier(group=group)
    dist.destroy_process_group(group)
