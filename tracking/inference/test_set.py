"""Track a test set in the way that suits the device, continue after an interruption, and measure the speed."""

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
"""Number of frames that make one more process worth its start (about 5 s); used when no number of processes is set."""


def track_test_set(
    tracker_factory: TrackerFactory,
    videos: Sequence[Video],
    folder: Path,
    label: str,
    options: TrackingOptions | None = None,
) -> dict[str, Any]:
    """Track sequences into ``folder``. Sequences with complete result files of the same tracker are skipped.

    On a CPU every sequence is tracked by one thread, frame by frame. Therefore boxes are the same bytes for any number
    of processes and any number of interruptions. On a GPU several sequences share each call of the network; another
    batch size rounds differently, so the batch size is part of what identifies the tracker. Under ``torchrun`` each
    process tracks a part of the sequences.

    Args:
        tracker_factory: creates the tracker.
        videos: the sequences.
        folder: folder for the result files.
        label: name for the progress display.
        options: number of processes and batch size.

    Returns:
        How the sequences were tracked and how fast, see ``timing.summarize_speed``.

    Raises:
        DataError: see ``sequential.track_sequence``.
        BenchError: a process was killed or failed.
    """
    options = options or TrackingOptions()
    # a GPU computes the networks of several videos at once; on a CPU processes share the videos instead
    batch = options.batch_size if tracker_factory.device != "cpu" else 1
    made_by = {**tracker_factory.describe_provenance(), "batch": batch}
    decide_on_rank0(lambda: discard_foreign_results(folder, videos, made_by))
    rank, size = get_dist_info()
    # longest first and every n-th: all processes get a similar amount of work and no long sequence is left for the end
    mine = sorted(videos, key=lambda video: -len(video.frames))[rank::size]
    left = [video for video in mine if not has_complete_files(folder, video)]
    if left and tracker_factory.device != "cpu":
        track_batched(tracker_factory(), left, folder, label, batch)
    elif left:
        # under torchrun there are several processes already
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
    """Return the requested number of processes, or one per core if there is enough work."""
    # never more than sequences: a process without one would only cost its start
    worth = max(1, sum(len(video.frames) for video in videos) // FRAMES_PER_PROCESS)
    return min(len(videos), requested or min(count_cpu_cores(), worth))


def _wait_for_all_ranks() -> None:
    """Wait until all processes under ``torchrun`` are finished."""
    import torch.distributed as dist

    # parts can differ by more than the 30 minutes after which gloo gives up by default, so the group has a longer
    # timeout
    group: Any = dist.new_group(backend="gloo", timeout=timedelta(days=30))
    dist.barrier(group=group)
    dist.destroy_process_group(group)
