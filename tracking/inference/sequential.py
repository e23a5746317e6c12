"""Track sequences one after another, one set of result files each, and score them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.device import world
from foundation.errors import DataError
from tracking.data.boxes import require_first_box
from tracking.data.crops import Image
from tracking.data.readers.sequence import Video
from tracking.inference.prefetch import Ahead
from tracking.inference.progress import Meter
from tracking.inference.result_files import Tracked, beside, is_whole, result_file, write_tracked
from tracking.inference.tracker import Tracker
from tracking.scoring import OFFICIAL, score_sequence


class SequenceScore(NamedTuple):
    """One scored sequence, in percent by LaSOT's official rules; ``boxes`` is the SHA-256 of its result file."""

    sequence: str
    frames: int
    AUC: float
    P: float
    P_norm: float
    OP50: float
    OP75: float
    confidence: float
    boxes: str


def track(
    tracker: Tracker, video: Video, after: Callable[[int], object] = lambda frames: None, ahead: bool = True
) -> Tracked:
    """Follow the target through a sequence; the first box is given.

    Args:
        tracker: any state; it is initialised.
        video: the sequence.
        after: called with 1 after each frame.
        ahead: a thread decodes frames while the network looks at those before.

    Raises:
        DataError: a frame is missing, unreadable or of another size than the first, or the first box is none.
    """
    count = len(video.frames)
    tracked = Tracked(np.empty((count, 4)), np.ones(count), np.empty((count, 2)))
    with Ahead(frames_of(video)) if ahead else closing(frames_of(video)) as frames:
        before = time.perf_counter()
        for number, frame in enumerate(frames):
            if number == 0:
                box = require_first_box(video.boxes[0], frame.shape[1], frame.shape[0], f"sequence {video.name}")
                tracker.init(frame, box)
            else:
                box, tracked.confidences[number] = tracker.update(frame), tracker.confidence
            tracked.boxes[number] = box
            now = time.perf_counter()
            tracked.milliseconds[number] = 1000 * (now - before), 1000 * tracker.seconds
            before = now
            after(1)
    return tracked


def frames_of(video: Video) -> Generator[Image, None, None]:
    """The frames, all of one size.

    Raises:
        DataError: see ``track``.
    """
    size: tuple[int, ...] | None = None
    for number in range(len(video.frames)):
        frame = video.read(number)
        if size is not None and frame.shape != size:
            raise DataError(
                f"sequence {video.name}: {video.frames[number].name} is {frame.shape[1]} x {frame.shape[0]} px and the "
                f"first frame {size[1]} x {size[0]}; all frames of a sequence have one size"
            )
        size = frame.shape
        yield frame


def track_all(tracker: Tracker, videos: Sequence[Video], folder: Path, label: str) -> None:
    """Track sequences into ``folder``, in this process; see ``tracked.write_tracked``.

    A sequence whose files are there already, whole, is passed over: they are written after their sequence.

    Raises:
        DataError: see ``track``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = [video for video in videos if not is_whole(folder, video)]
    with Meter(label, left) as meter:
        for video in left:
            write_tracked(folder, video, track(tracker, video, after=meter.advance), world()[1])
            meter.finish()


def score_all(videos: Sequence[Video], folder: Path) -> list[SequenceScore]:
    """Scores of all sequences from their result files.

    Raises:
        DataError: a file is missing or of another length than its sequence.
    """
    scores = []
    for video in videos:
        path = result_file(folder, video)
        if not path.is_file():
            raise DataError(f"{path} is missing: sequence {video.name} was not tracked")
        content = path.read_bytes()
        boxes = np.array([line.split(",") for line in content.decode().split()], np.float64)
        if boxes.shape != video.boxes.shape:
            raise DataError(f"{path} has {len(boxes)} boxes for {len(video.boxes)} frames; remove it and run again")
        confidence = np.loadtxt(beside(folder, video, "confidence"), ndmin=1)
        values = score_sequence(boxes, video.boxes, ~video.visible, OFFICIAL, name=video.name).values()
        digest = hashlib.sha256(content).hexdigest()
        sure = round(float(confidence.mean()), 4)
        scores.append(SequenceScore(video.name, len(boxes), **values, confidence=sure, boxes=digest))
    return scores
