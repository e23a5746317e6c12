"""Track sequences one after another, write their result files, and score them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.device import get_dist_info
from engine.task import MetricSpec
from foundation.errors import DataError, NonFiniteError
from results.records.record import MetricValue
from tracking.data.box_files import parse_predicted_boxes
from tracking.data.boxes import FloatArray, require_first_box
from tracking.data.crops import ImageArray
from tracking.data.readers.sequence import Video, require_frame_size
from tracking.inference.prefetch import PrefetchIterator
from tracking.inference.progress import TrackingProgress
from tracking.inference.result_files import (
    TrackedSequence,
    boxes_path,
    has_complete_files,
    read_sidecar,
    write_tracked_sequence,
)
from tracking.inference.tracker import Tracker
from tracking.scoring import LASOT_OFFICIAL, score_sequence


class SequenceMetrics(NamedTuple):
    """The score of one sequence by LaSOT's official rules; metrics are in percent.

    Attributes:
        sequence: name of the sequence.
        frames: number of frames.
        confidence: mean confidence over the frames, from 0 to 1.
        boxes: SHA-256 of the result file.
    """

    sequence: str
    frames: int
    # the names of the metrics in the record
    AUC: float
    P: float
    P_norm: float
    OP50: float
    OP75: float
    confidence: float
    boxes: str


def track_sequence(
    tracker: Tracker, video: Video, on_frames_done: Callable[[int], object] = lambda frames: None, prefetch: bool = True
) -> TrackedSequence:
    """Follow the target through a sequence, starting from the true box of the first frame.

    Args:
        tracker: a tracker in any state; it is initialized here.
        video: the sequence.
        on_frames_done: called with 1 after each frame.
        prefetch: decode frames in a thread while the network processes the ones before.

    Raises:
        DataError: a frame is missing, cannot be decoded or has another size than the first, or the first box cannot be
            used.
        NonFiniteError: the outputs of the network are not finite.
    """
    tracked = TrackedSequence.allocate(len(video.frames))
    # both end the generator when an error leaves the loop
    with PrefetchIterator(iter_frames(video)) if prefetch else closing(iter_frames(video)) as frames:
        before = time.perf_counter()
        for number, frame in enumerate(frames):
            if number == 0:
                box = require_first_box(video.boxes[0], frame.shape[1], frame.shape[0], f"sequence {video.name}")
                tracker.init(frame, box)
            else:
                with name_failed_frame(video, number):
                    box, tracked.confidences[number] = tracker.update(frame), tracker.confidence
            tracked.boxes[number] = box
            now = time.perf_counter()
            # from box to box, so that waiting for the decoder is included
            tracked.times_ms[number] = 1000 * (now - before), 1000 * tracker.network_seconds
            before = now
            on_frames_done(1)
    return tracked


@contextmanager
def name_failed_frame(video: Video, number: int) -> Iterator[None]:
    """Name sequence and frame if the outputs of a tracker are not finite.

    Args:
        video: the sequence.
        number: index of the frame.

    Raises:
        NonFiniteError: with the name of the frame.
    """
    try:
        yield
    except NonFiniteError as error:
        raise NonFiniteError(
            f"sequence {video.name}, frame {number + 1}: {error}; check the tracker's weights"
        ) from error


def iter_frames(video: Video) -> Generator[ImageArray, None, None]:
    """Decode the frames of a sequence and check that all have the same size.

    Args:
        video: the sequence.

    Raises:
        DataError: see ``track_sequence``.
    """
    first_shape: tuple[int, ...] | None = None
    for number in range(len(video.frames)):
        frame = video.read_frame(number)
        require_frame_size(frame, first_shape, f"sequence {video.name}: {video.frames[number].name}")
        # equal to the first one from here on
        first_shape = frame.shape
        yield frame


def track_sequences(tracker: Tracker, videos: Sequence[Video], folder: Path, label: str) -> None:
    """Track sequences into ``folder`` in this process; those with complete result files are skipped.

    Args:
        tracker: the tracker.
        videos: the sequences.
        folder: folder for the result files; it is created if necessary.
        label: name for the progress display.

    Raises:
        DataError: see ``track_sequence``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = [video for video in videos if not has_complete_files(folder, video)]
    with TrackingProgress(label, left) as meter:
        for video in left:
            # after each sequence, so that an interruption loses at most one
            write_tracked_sequence(
                folder, video, track_sequence(tracker, video, on_frames_done=meter.advance_frames), get_dist_info()[1]
            )
            meter.finish_sequence()


def score_result_files(videos: Sequence[Video], folder: Path) -> list[SequenceMetrics]:
    """Score all sequences from their result files.

    Args:
        videos: the sequences.
        folder: folder of the result files.

    Returns:
        One row per sequence, in the order of ``videos``.

    Raises:
        DataError: a file is missing or damaged, or has more or fewer boxes than the sequence has frames.
    """
    scores = []
    for video, found in read_result_files(videos, folder):
        # scored from the file and not from memory: the file is what anybody can check later
        score = score_sequence(found.boxes, video.boxes, ~video.visible, LASOT_OFFICIAL, name=video.name)
        scores.append(
            SequenceMetrics(
                video.name,
                len(found.boxes),
                **score.metric_values(),
                confidence=found.confidence,
                boxes=found.digest,
            )
        )
    return scores


class ResultFile(NamedTuple):
    """The result files of one sequence.

    Attributes:
        boxes: x, y, width, height in pixels, shape (frames, 4).
        confidence: mean confidence over the frames, from 0 to 1, rounded to four decimals.
        digest: SHA-256 of the file of boxes.
    """

    boxes: FloatArray
    confidence: float
    digest: str


def read_result_files(videos: Sequence[Video], folder: Path) -> Iterator[tuple[Video, ResultFile]]:
    """Yield each sequence with its results, in the order of ``videos``.

    Args:
        videos: the sequences.
        folder: folder of the result files.

    Raises:
        DataError: a file is missing or damaged, or has more or fewer boxes than the sequence has frames.
    """
    for video in videos:
        path = boxes_path(folder, video)
        if not path.is_file():
            raise DataError(f"{path} is missing: sequence {video.name} was not tracked")
        # read once, so that the digest is that of the bytes that are scored
        content = path.read_bytes()
        boxes = parse_predicted_boxes(content, path)
        if boxes.shape != video.boxes.shape:
            raise DataError(f"{path} has {len(boxes)} boxes for {len(video.boxes)} frames; remove it and run again")
        confidence = read_sidecar(folder, video, "confidence").ravel()
        yield video, ResultFile(boxes, round(float(confidence.mean()), 4), hashlib.sha256(content).hexdigest())


def average_sequences(scores: Sequence[SequenceMetrics], specs: Sequence[MetricSpec]) -> dict[str, MetricValue]:
    """Return the mean of each metric over the sequences.

    Args:
        scores: one row per sequence, in percent.
        specs: the metrics.
    """
    metrics = {}
    for spec in specs:
        # every sequence counts the same, however long it is (one-pass evaluation of LaSOT)
        mean = sum(getattr(score, spec.name) for score in scores) / len(scores)
        metrics[spec.name] = MetricValue(
            value=mean, unit=spec.unit, higher_is_better=spec.higher_is_better, n=len(scores)
        )
    return metrics
