"""The files of a tracked sequence, and whether what lies in a folder may be taken for a run's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foundation.errors import DataError
from foundation.files import write_atomic
from tracking.data.box_files import read_predicted_boxes
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video

PROVENANCE_FILE = "made_by.json"


class TrackedSequence(NamedTuple):
    """A sequence as tracked: boxes (frames, 4), confidences (frames,), and milliseconds (frames, 2).

    The milliseconds of a frame: from the box before it to its own (``end_to_end``: what waiting for the decoder,
    cropping and the network took), and of the network alone, maps in hand (``network``).
    """

    boxes: FloatArray
    confidences: FloatArray
    times_ms: FloatArray

    @classmethod
    def allocate(cls, num_frames: int) -> TrackedSequence:
        """Arrays to fill frame by frame; the confidence of a frame is 1 until it is known."""
        return cls(np.empty((num_frames, 4)), np.ones(num_frames), np.empty((num_frames, 2)))


def boxes_path(folder: Path, video: Video) -> Path:
    """Where a sequence's boxes are."""
    return folder / f"{video.name}.txt"


def sidecar_path(folder: Path, video: Video, suffix: str) -> Path:
    """Where something else of a sequence is (``confidence``, ``times``)."""
    return folder / f"{video.name}_{suffix}.txt"


def write_tracked_sequence(folder: Path, video: Video, tracked: TrackedSequence, num_processes: int = 1) -> None:
    """Write ``<sequence>_times.txt``, ``<sequence>_confidence.txt``, and last ``<sequence>.txt`` (x,y,w,h a line).

    Each is written in one piece, and where the last one is there the others are.
    """
    head = f"# milliseconds of each frame: end to end, network alone; processes at a time: {num_processes}\n"
    write_atomic(sidecar_path(folder, video, "times"), head + _format_rows(tracked.times_ms, 3))
    write_atomic(sidecar_path(folder, video, "confidence"), _format_rows(tracked.confidences[:, None], 4))
    write_atomic(boxes_path(folder, video), _format_rows(tracked.boxes, 3))


def _format_rows(values: FloatArray, decimals: int) -> str:
    return "".join(",".join(f"{value:.{decimals}f}" for value in row) + "\n" for row in values.tolist())


def has_complete_files(folder: Path, video: Video) -> bool:
    """Whether a sequence's files are there, with a number for each frame, and begin with its own first box."""
    try:
        boxes = read_predicted_boxes(boxes_path(folder, video))
        columns = {
            number: np.loadtxt(sidecar_path(folder, video, suffix), delimiter=",", ndmin=2)
            for suffix, number in (("confidence", 1), ("times", 2))
        }
    except (OSError, ValueError, DataError):
        return False
    count = len(video.frames)
    if len(boxes) != count or not np.abs(boxes[0] - video.boxes[0]).max() < 1e-3:
        return False
    return all(values.shape == (count, n) and np.isfinite(values).all() for n, values in columns.items())


def discard_foreign_results(folder: Path, videos: Sequence[Video], provenance: Mapping[str, Any]) -> None:
    """Leave only result files in ``folder`` that were made by this: weights, crops, runtime, numbers, device, batch.

    ``made_by.json`` says what made those that are there. It is replaced after files of another maker are gone, so
    that a kill at any moment leaves no file beside a description that is not its own.
    """
    path, text = folder / PROVENANCE_FILE, json.dumps(dict(provenance), indent=2, sort_keys=True) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for half in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
        half.unlink()
    if path.is_file() and path.read_text() == text:
        return
    others = [video for video in videos if boxes_path(folder, video).is_file()]
    if others:
        from engine.progress import log_message  # mmengine comes with it; processes that track have no need of that

        log_message(
            f"{len(others)} result files in {folder} were made by other weights or in another way; tracking them anew"
        )
    for video in others:
        boxes_path(folder, video).unlink()
    write_atomic(path, text)
