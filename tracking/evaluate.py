"""Track the sequences of a test set, one result file each, and score them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.progress import PLAIN_EVERY_SECONDS, say
from foundation.errors import DataError
from foundation.files import write_atomic
from tracking.boxes import Floats, require_first_box
from tracking.crops import Image
from tracking.readers.sequence import Video
from tracking.scoring import OFFICIAL, score_sequence
from tracking.tracker import Tracker


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


def track(tracker: Tracker, video: Video) -> tuple[Floats, Floats]:
    """Follow the target through a sequence: boxes (frames, 4) and confidences (frames,); the first is given.

    Raises:
        DataError: a frame is missing, unreadable or of another size than the first, or the first box is none.
    """
    boxes, confidences = np.empty((len(video.frames), 4)), np.ones(len(video.frames))
    for number, frame in enumerate(frames_of(video)):
        if number == 0:
            boxes[0] = require_first_box(video.boxes[0], frame.shape[1], frame.shape[0], f"sequence {video.name}")
            tracker.init(frame, boxes[0])
        else:
            boxes[number], confidences[number] = tracker.update(frame), tracker.confidence
    return boxes, confidences


def frames_of(video: Video) -> Iterator[Image]:
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
    """Track sequences into ``folder``: ``<sequence>.txt`` (x,y,w,h a line) and ``<sequence>_confidence.txt``.

    A sequence whose file is there already is passed over: files are written whole, after their sequence.

    Raises:
        DataError: see ``track``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = [video for video in videos if not result_file(folder, video).is_file()]
    total, done, began = sum(len(video.frames) for video in left), 0, time.monotonic()
    spoke = began
    for number, video in enumerate(left, 1):
        boxes, confidences = track(tracker, video)
        values = "".join(f"{value:.4f}\n" for value in confidences)
        write_atomic(folder / f"{video.name}_confidence.txt", values)
        write_atomic(result_file(folder, video), "".join(",".join(f"{v:.3f}" for v in box) + "\n" for box in boxes))
        done += len(boxes)
        now = time.monotonic()
        if now - spoke > PLAIN_EVERY_SECONDS:
            spoke = now
            say(
                f"{label}: {number}/{len(left)} sequences tracked, {done / (now - began):.0f} frames/s, "
                f"{(total - done) * (now - began) / done:.0f} s left"
            )


def result_file(folder: Path, video: Video) -> Path:
    """Where a sequence's boxes are."""
    return folder / f"{video.name}.txt"


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
        confidence = np.loadtxt(folder / f"{video.name}_confidence.txt", ndmin=1)
        values = score_sequence(boxes, video.boxes, ~video.visible, OFFICIAL, name=video.name).values()
        digest = hashlib.sha256(content).hexdigest()
        sure = round(float(confidence.mean()), 4)
        scores.append(SequenceScore(video.name, len(boxes), **values, confidence=sure, boxes=digest))
    return scores
