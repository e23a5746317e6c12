"""Follow one or several targets through a source of frames; write boxes, confidences, times and an annotated video."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median

import numpy as np

from engine.progress_bar import ProgressBar
from foundation.errors import BenchError, DataError
from foundation.files import write_atomic
from tracking.data.boxes import BoxLike, FloatArray, require_first_box
from tracking.data.crops import ImageArray
from tracking.data.readers.sequence import require_frame_size
from tracking.inference.prefetch import PREFETCH_DEPTH, PrefetchIterator
from tracking.inference.tracker import Tracker
from tracking.video.annotate import AnnotatedVideoWriter, draw_targets
from tracking.video.frame_source import FrameSource
from tracking.video.frame_times import TIMES_FILE, fill_missing_times
from tracking.video.lost_target import LOST_THRESHOLD
from tracking.video.stop_request import catch_stop
from tracking.video.target_track import StartChooser, TargetStart, TargetTrack, start_tracks

DEFAULT_FPS = 30.0
"""Frame rate of the annotated video if the source has none; LaSOT's sequences have this rate."""
# the first calls allocate memory and choose kernels
VIDEO_WARMUP_FRAMES = 3


@dataclass
class VideoTrackResult:
    """The results of tracking, frame by frame.

    Attributes:
        targets: the targets, in the order in which they were named.
        frame_times: time of each frame in seconds; ``None`` where the source has none.
        network_seconds: time in the network for each frame except the first, for all targets together.
        total_seconds: time of the entire loop: reading, crop, network, drawing, encoding.
        stop_reason: why tracking ended before the source did; empty if it did not.
        failure: the error that ended tracking, if there was one.
        video_path: the annotated video, once it is complete.
    """

    targets: list[TargetTrack] = field(default_factory=list)
    frame_times: list[float | None] = field(default_factory=list)
    network_seconds: list[float] = field(default_factory=list)
    total_seconds: float = 0.0
    stop_reason: str = ""
    failure: BenchError | None = None
    video_path: Path | None = None

    @property
    def num_frames(self) -> int:
        """Number of frames that were tracked."""
        return len(self.frame_times)

    @property
    def boxes(self) -> list[FloatArray]:
        """The boxes of the first target: x, y, width, height of each frame in pixels."""
        return self.targets[0].boxes

    @property
    def confidences(self) -> list[float]:
        """The confidences of the first target, from 0 to 1."""
        return self.targets[0].confidences

    def compute_speed(self) -> dict[str, float | None]:
        """Return frames per second of the entire loop and of the network alone."""
        # the median without the first calls, which are slower; all calls if there are no others
        kept = self.network_seconds[VIDEO_WARMUP_FRAMES:] or self.network_seconds
        return {
            "end_to_end_frames_per_second": round(self.num_frames / self.total_seconds, 2)
            if self.total_seconds
            else None,
            "network_frames_per_second": round(1 / median(kept), 2) if kept else None,
        }


def name_target_files(number: int, num_targets: int) -> tuple[str, str]:
    """Return the names of the files of a target's boxes and of its confidences.

    Args:
        number: number of the target, from 1.
        num_targets: number of targets; the files of a single one have no number.

    Example:
        >>> name_target_files(1, 1), name_target_files(2, 3)
        (('boxes.txt', 'confidence.txt'), ('boxes_2.txt', 'confidence_2.txt'))
    """
    end = f"_{number}" if num_targets > 1 else ""
    return f"boxes{end}.txt", f"confidence{end}.txt"


def track_video(
    tracker: Tracker,
    source: FrameSource,
    box: BoxLike,
    out_dir: Path,
    *,
    lost_threshold: float = LOST_THRESHOLD,
    write_video: bool = True,
) -> VideoTrackResult:
    """Track one target through ``source`` and write the results into ``out_dir``; see ``track_targets``.

    Args:
        tracker: the tracker.
        source: the frames.
        box: x, y, width, height of the target in the first frame, in pixels.
        out_dir: a folder that exists.
        lost_threshold: confidence below which the target may be lost.
        write_video: whether to write the annotated video.
    """
    return track_targets(
        tracker, source, [TargetStart(box, lost_threshold=lost_threshold)], out_dir, write_video=write_video
    )


def track_targets(
    tracker: Tracker,
    source: FrameSource,
    starts: Sequence[TargetStart] | StartChooser,
    out_dir: Path,
    *,
    write_video: bool = True,
) -> VideoTrackResult:
    """Track through ``source`` and write boxes, confidences, times and the annotated video into ``out_dir``.

    Every target gets the boxes that it would get alone: the network is called once for each.

    Files get their names only when they are complete. After Ctrl-C or SIGTERM, the current frame is finished and all
    results so far are written. The same happens if a frame cannot be read or the video cannot be written
    (``failure``).

    Args:
        tracker: the tracker.
        source: the frames.
        starts: the targets, or a function that names them when it sees the first frame.
        out_dir: a folder that exists.
        write_video: whether to write the annotated video.

    Raises:
        DataError: a first box cannot be used, or the first frame cannot be read.
        BenchError: OpenCV cannot write videos.
    """
    found = VideoTrackResult()
    canvas: list[AnnotatedVideoWriter] = []  # gets a writer with the first frame, which has the size of the video
    choose = starts if callable(starts) else lambda _: starts
    try:
        try:
            _track_frames(tracker, source, choose, found, canvas, out_dir if write_video else None)
        except BenchError as error:
            # without a single box there is nothing to keep
            if not found.num_frames:
                raise
            found.failure = error
        _write_result_files(out_dir, found, source)
        try:
            found.video_path = canvas[0].finalize() if canvas else None
        except BenchError as error:
            found.failure = found.failure or error
    except BaseException:
        # a second Ctrl-C, or an error of ours: no half-written video is left behind
        for writer in canvas:
            writer.discard()
        raise
    if found.failure is not None:
        found.stop_reason = str(found.failure)
    return found


def _track_frames(
    tracker: Tracker,
    source: FrameSource,
    choose: StartChooser,
    result: VideoTrackResult,
    writers: list[AnnotatedVideoWriter],
    video_dir: Path | None,
) -> None:
    """Track all frames and append to ``result`` and to the video."""
    # a queue of camera frames would only add a delay
    depth = 1 if source.kind == "camera" else PREFETCH_DEPTH
    began = time.perf_counter()
    with PrefetchIterator(source.iter_timed_frames(), depth) as frames:
        # taken out of the loop, as the user may choose the targets on it; a camera would not show it a second time
        opening = next(frames, None)
        if opening is None:
            raise DataError(f"{source.location} has no frames any more; start again")
        asked = time.perf_counter()
        # before Ctrl-C is caught: while the user chooses, it ends the command as usual
        chosen = choose(opening.image)
        began += time.perf_counter() - asked
        result.targets = _start_targets(tracker, chosen, opening.image, source)
        size = opening.image.shape
        if video_dir is not None:
            writers.append(AnnotatedVideoWriter(video_dir, (size[1], size[0]), source.fps or DEFAULT_FPS))
        with catch_stop() as stop, ProgressBar(source.name, "frames", source.expected_frames) as counter:
            # frames are numbered as in the source, from 0
            for number, frame in enumerate(chain([opening], frames), source.start_frame):
                require_frame_size(frame.image, size, f"frame {number} (from 0) of {source.location}")
                _track_frame(result, frame.image, number, counter.log_message)
                if writers:
                    writers[0].write_frame(draw_targets(frame.image, number, result.targets))
                result.frame_times.append(frame.seconds)
                # updated with every frame, since an error may end the loop at any of them
                result.total_seconds = time.perf_counter() - began
                counter.advance("confidence " + ", ".join(f"{each.confidences[-1]:.2f}" for each in result.targets))
                # checked after a frame is complete, so that boxes, confidences and video have equally many
                if stop.reason:
                    result.stop_reason = f"{stop.reason} after {result.num_frames} frames"
                    break


def _start_targets(
    tracker: Tracker, starts: Sequence[TargetStart], frame: ImageArray, source: FrameSource
) -> list[TargetTrack]:
    """Start a tracker for each target.

    Raises:
        DataError: a box cannot be used; the message names the target if there are several.
    """
    targets = start_tracks(tracker, starts)
    for each in targets:
        context = f"{source.location}, target {each.number}" if len(starts) > 1 else source.location
        each.tracker.init(frame, require_first_box(each.start.box, frame.shape[1], frame.shape[0], context))
    return targets


def _track_frame(result: VideoTrackResult, frame: ImageArray, frame_number: int, log: Callable[[str], None]) -> None:
    """Find every target in a frame; in the first frame it is where it starts."""
    is_first = not result.frame_times
    found: list[tuple[FloatArray, float]] = []
    seconds = 0.0
    for each in result.targets:
        if is_first:
            found.append((np.asarray(each.start.box, np.float64), 1.0))
            continue
        box = each.tracker.update(frame)
        found.append((box, each.tracker.confidence))
        seconds += each.tracker.network_seconds
    # only now, so that an error leaves all targets with equally many boxes
    for each, (box, confidence) in zip(result.targets, found, strict=True):
        each.boxes.append(box)
        each.confidences.append(confidence)
        if message := each.watch.observe_frame(frame_number, confidence):
            log(f"target {each.number}, {message}" if len(result.targets) > 1 else message)
    if not is_first:
        result.network_seconds.append(seconds)


def _write_result_files(out_dir: Path, result: VideoTrackResult, source: FrameSource) -> None:
    """Write the boxes and confidences of every target, and the times of the frames where they are known."""
    for each in result.targets:
        boxes_file, confidences_file = name_target_files(each.number, len(result.targets))
        write_atomic(out_dir / confidences_file, "".join(f"{value:.4f}\n" for value in each.confidences))
        lines = (",".join(f"{value:.3f}" for value in row) + "\n" for row in each.boxes)
        write_atomic(out_dir / boxes_file, "".join(lines))
    # no file is better than one with gaps, whose lines would belong to other frames
    if (times := fill_missing_times(result.frame_times, source.fps)) is not None:
        write_atomic(out_dir / TIMES_FILE, "".join(f"{value:.4f}\n" for value in times[0]))
