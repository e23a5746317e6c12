"""Track a whole test set the way the device wants it, go on from what is there, and say how fast it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.device import decide_on_rank0, get_dist_info
from tracking.data.readers.sequence import Video
from tracking.inference.batched import track_batched
from tracking.inference.multiprocess import count_cpu_cores, track_multiprocess, use_one_thread
from tracking.inference.options import TrackingOptions
from tracking.inference.result_files import discard_foreign_results, has_complete_files
from tracking.inference.sequential import track_sequences
from tracking.inference.timing import summarize_speed
from tracking.inference.tracker_factory import TrackerFactory

FRAMES_PER_PROCESS = 1000
"""Frames that make up for starting one more process (about 5 s), where their number is not given."""


def track_test_set(
    tracker_factory: TrackerFactory,
    videos: Sequence[Video],
    folder: Path,
    label: str,
    options: TrackingOptions | None = None,
) -> dict[str, Any]:
    """Track sequences into ``folder``; those whose files are there, whole and by the same tracker, are passed over.

    On a CPU every sequence is tracked by one thread, frame by frame, so that the files are the same bytes whatever
    the number of processes and however often the run was stopped. On a GPU several sequences share each call of the
    network; other batches round differently, and the batch is part of what makes files the same tracker's. Under
    ``torchrun`` each process takes its share.

    Returns:
        How it was done and how fast it was: see ``timing.summarize_speed``.

    Raises:
        DataError: see ``sequential.track_sequence``.
        BenchError: a process was ended from outside.
    """
    options = options or TrackingOptions()
    batch = options.batch_size if tracker_factory.device == "cuda" else 1
    made_by = {**tracker_factory.describe_provenance(), "batch": batch}
    decide_on_rank0(lambda: discard_foreign_results(folder, videos, made_by))
    rank, size = get_dist_info()
    mine = sorted(videos, key=lambda video: -len(video.frames))[rank::size]
    left = [video for video in mine if not has_complete_files(folder, video)]
    if left and tracker_factory.device == "cuda":
        track_batched(tracker_factory(), left, folder, label, batch)
    elif left:
        processes = 1 if size > 1 else _choose_num_processes(options.num_processes, left)
        if processes > 1:
            track_multiprocess(tracker_factory, left, folder, label, processes)
        else:
            with use_one_thread():
                track_sequences(tracker_factory(), left, folder, label)
    if size > 1:
        _wait_for_all_ranks()
    return summarize_speed(folder, videos, made_by)


def _choose_num_processes(requested: int | None, videos: Sequence[Video]) -> int:
    worth = max(1, sum(len(video.frames) for video in videos) // FRAMES_PER_PROCESS)
    return min(len(videos), requested or min(count_cpu_cores(), worth))


def _wait_for_all_ranks() -> None:
    """A barrier that is patient: shares differ by more than the half hour after which gloo gives up."""
    import torch.distributed as dist

    group: Any = dist.new_group(backend="gloo", timeout=timedelta(days=30))
    dist.barrier(group=group)
    dist.destroy_process_group(group)
