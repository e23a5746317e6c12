"""Result files in the form of OSTrack's ``tracking/test.py``, beside our own: tabs, whole pixels, seconds.

The boxes are cut to whole pixels as OSTrack's code does it (towards 0), so their score can differ in the first decimal
from that of our own files, which have three decimals and are the ones that are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foundation.files import write_atomic
from tracking.data.box_files import read_predicted_boxes
from tracking.data.readers.sequence import Video
from tracking.inference.result_files import boxes_path, read_sidecar
from tracking.scoring.sets import PUBLIC_TEST_SETS


def write_field_results(set_name: str, videos: Sequence[Video], folder: Path, out: Path) -> None:
    """Write ``NAME.txt`` (x, y, width, height, tabs between them) and ``NAME_time.txt`` (seconds of each frame).

    Args:
        set_name: name of the task; the field has other names for the sequences of some sets (``uav_bike1``).
        videos: the sequences.
        folder: folder with our own result files of these sequences.
        out: folder to write to; it is created if necessary.

    Raises:
        DataError: a result file is missing or damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    public = PUBLIC_TEST_SETS.get(set_name)
    for video in videos:
        # from the file and not from memory: both forms then tell of the same tracking, also after an interruption
        boxes = read_predicted_boxes(boxes_path(folder, video)).astype(np.int64)
        rows = "".join("\t".join(map(str, row)) + "\n" for row in boxes.tolist())
        name = public.get_field_name(video.name) if public else video.name
        write_atomic(out / f"{name}.txt", rows)
        write_frame_seconds(video, folder, out, name)


def write_frame_seconds(video: Video, folder: Path, out: Path, name: str) -> None:
    """Write ``NAME_time.txt``: the seconds of each frame from one box to the next, as servers and toolkits read them.

    Args:
        video: the sequence.
        folder: folder with our own result files.
        out: folder to write to.
        name: the sequence's name there.
    """
    # the first column is end to end, which includes waiting for the decoder, as no frame is free
    milliseconds = read_sidecar(folder, video, "times")[:, 0]
    write_atomic(out / f"{name}_time.txt", "".join(f"{value / 1000:.6f}\n" for value in milliseconds))
