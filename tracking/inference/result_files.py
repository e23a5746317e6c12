"""The result files of a tracked sequence, and the check whether existing files belong to the same tracker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foundation.errors import DataError
from foundation.files import write_atomic
from foundation.storage.regular_files import read_regular
from tracking.data.box_files import read_predicted_boxes
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video

PROVENANCE_FILE = "made_by.json"
"""Holds the description of the tracker that wrote the result files next to it."""

MAX_SIDECAR_BYTES = 256_000_000
"""A larger file is none of these: a line has 20 bytes, and no video has ten million frames."""


class TrackedSequence(NamedTuple):
    """The results of tracking one sequence.

    Attributes:
        boxes: x, y, width, height in pixels, shape (frames, 4).
        confidences: highest raw score of each frame, from 0 to 1, shape (frames,).
        times_ms: milliseconds of each frame, shape (frames, 2): end to end, from the previous box to this one (waiting
            for the decoder, cropping, network), and of the network alone, until its maps are available.
    """

    boxes: FloatArray
    confidences: FloatArray
    times_ms: FloatArray

    @classmethod
    def allocate(cls, num_frames: int) -> TrackedSequence:
        """Create arrays to fill frame by frame; confidences are 1 until they are set.

        Args:
            num_frames: number of frames.
        """
        return cls(np.empty((num_frames, 4)), np.ones(num_frames), np.empty((num_frames, 2)))


def boxes_path(folder: Path, video: Video) -> Path:
    """Return the path of a sequence's boxes.

    Args:
        folder: folder of the result files.
        video: the sequence.
    """
    return folder / f"{video.name}.txt"


def sidecar_path(folder: Path, video: Video, suffix: str) -> Path:
    """Return the path of other results of a sequence.

    Args:
        folder: folder of the result files.
        video: the sequence.
        suffix: ``confidence`` or ``times``.
    """
    return folder / f"{video.name}_{suffix}.txt"


def write_tracked_sequence(folder: Path, video: Video, tracked: TrackedSequence, num_processes: int = 1) -> None:
    """Write the three result files of a sequence: times, confidences and boxes.

    They are ``<sequence>_times.txt``, ``<sequence>_confidence.txt`` and ``<sequence>.txt`` with one box x,y,w,h per
    line. Each file is written atomically and the boxes last, so that a sequence with boxes is complete.

    Args:
        folder: folder of the result files.
        video: the sequence.
        tracked: its results.
        num_processes: number of processes that track at the same time, for the head of the times.
    """
    head = f"# milliseconds of each frame: end to end, network alone; processes at a time: {num_processes}\n"
    write_atomic(sidecar_path(folder, video, "times"), head + _format_rows(tracked.times_ms, 3))
    write_atomic(sidecar_path(folder, video, "confidence"), _format_rows(tracked.confidences[:, None], 4))
    write_atomic(boxes_path(folder, video), _format_rows(tracked.boxes, 3))


def read_sidecar(folder: Path, video: Video, suffix: str) -> FloatArray:
    """Return the numbers of a sequence beside its boxes, shape (frames, columns).

    Args:
        folder: folder of the result files.
        video: the sequence.
        suffix: ``confidence`` or ``times``.

    Raises:
        DataError: the file is missing, is no text of numbers, or is a pipe or device, which is not waited for.
    """
    path = sidecar_path(folder, video, suffix)
    try:
        lines = read_regular(path, MAX_SIDECAR_BYTES).decode().splitlines()
        if all(not line.strip() or line.startswith("#") for line in lines):  # NumPy would only warn
            raise ValueError("it has no numbers")
        return np.loadtxt(lines, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        reason = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", "")
        raise DataError(f"{path} cannot be read ({reason or error}); remove it and run again") from error


def _format_rows(values: FloatArray, decimals: int) -> str:
    """Return rows of numbers as text, separated by commas."""
    return "".join(",".join(f"{value:.{decimals}f}" for value in row) + "\n" for row in values.tolist())


def has_complete_files(folder: Path, video: Video) -> bool:
    """Return whether all files of a sequence exist, have one entry per frame and start with the sequence's first box.

    Args:
        folder: folder of the result files.
        video: the sequence.
    """
    try:
        boxes = read_predicted_boxes(boxes_path(folder, video))
        columns = {number: read_sidecar(folder, video, suffix) for suffix, number in (("confidence", 1), ("times", 2))}
    except (OSError, ValueError, DataError):
        return False
    count = len(video.frames)
    # boxes have three decimals; another first box means another sequence of the same name
    if len(boxes) != count or not np.abs(boxes[0] - video.boxes[0]).max() < 1e-3:
        return False
    return all(values.shape == (count, n) and np.isfinite(values).all() for n, values in columns.items())


def discard_foreign_results(folder: Path, videos: Sequence[Video], provenance: Mapping[str, Any]) -> None:
    """Remove result files that another tracker wrote, and describe the present one in ``made_by.json``.

    Trackers differ if their weights, crops, runtime, precision, device or batch size differ. ``made_by.json`` is
    replaced only after the files of the other tracker are removed, so that no file is ever next to the description of
    another tracker, even if the process is killed.

    Args:
        folder: folder of the result files; it is created if necessary.
        videos: the sequences to track.
        provenance: description of the tracker, as plain data.
    """
    path, text = folder / PROVENANCE_FILE, json.dumps(dict(provenance), indent=2, sort_keys=True) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for half in folder.glob(".*.tmp"):  # left by a process that was killed while writing
        if not half.is_dir():
            half.unlink()
    with suppress(OSError):  # not there yet, or not written by bench
        if read_regular(path, MAX_SIDECAR_BYTES) == text.encode():
            return
    others = [video for video in videos if boxes_path(folder, video).is_file()]
    if others:
        from engine.progress_bar import log_message  # rich, which worker processes should not have to load

        log_message(
            f"{len(others)} result files in {folder} were made with other weights or settings; tracking them again"
        )
    for video in others:
        # without its boxes a sequence counts as not tracked; the other two files are overwritten
        boxes_path(folder, video).unlink()
    write_atomic(path, text)
