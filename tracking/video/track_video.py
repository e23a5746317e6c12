"""Follow one target through a source of frames, and write its boxes, confidences and an annotated video."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from engine.progress_bar import ProgressBar
from foundation.errors import BenchError
from foundation.files import write_atomic
from tracking.data.boxes import BoxLike, FloatArray, require_first_box
from tracking.data.readers.sequence import require_frame_size
from tracking.inference.prefetch import PREFETCH_DEPTH, PrefetchIterator
from tracking.inference.tracker import Tracker
from tracking.video.annotate import AnnotatedVideoWriter, draw_prediction
from tracking.video.frame_source import FrameSource
from tracking.video.lost_target import LOST_PATIENCE, LOST_THRESHOLD, LostTargetDetector, find_low_spans
from tracking.video.sigint import catch_sigint

BOXES_FILE, CONFIDENCES_FILE, SUMMARY_FILE = "boxes.txt", "confidence.txt", "track.json"
DEFAULT_FPS = 30.0
"""Frame rate of the annotated video if the source has none; LaSOT's sequences have this rate."""
# the first calls allocate memory and choose kernels
VIDEO_WARMUP_FRAMES = 3


@dataclass
class VideoTrackResult:
    """The results of tracking, frame by frame.

    Attributes:
        boxes: x, y, width, height of each frame in pixels; the first box is the given one.
        confidences: confidence of each frame, from 0 to 1; 1 for the first.
        network_seconds: time in the network for each frame except the first.
        total_seconds: time of the entire loop: reading, crop, network, drawing, encoding.
        stop_reason: why tracking ended before the source did; empty if it did not.
        failure: the error that ended tracking, if there was one.
        video_path: the annotated video, once it is complete.
    """

    boxes: list[FloatArray] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    network_seconds: list[float] = field(default_factory=list)
    total_seconds: float = 0.0
    stop_reason: str = ""
    failure: BenchError | None = None
    video_path: Path | None = None

    def compute_speed(self) -> dict[str, float | None]:
        """Return frames per second of the entire loop and of the network alone."""
        # the median without the first calls, which are slower; all calls if there are no others
        kept = self.network_seconds[VIDEO_WARMUP_FRAMES:] or self.network_seconds
        return {
            "end_to_end_frames_per_second": round(len(self.boxes) / self.total_seconds, 2)
            if self.total_seconds
            else None,
            "network_frames_per_second": round(1 / median(kept), 2) if kept else None,
        }


def track_video(
    tracker: Tracker,
    source: FrameSource,
    box: BoxLike,
    out_dir: Path,
    *,
    lost_threshold: float = LOST_THRESHOLD,
    write_video: bool = True,
) -> VideoTrackResult:
    """Track through ``source`` and write boxes, confidences and the annotated video into ``out_dir``.

    Files get their names only when they are complete. After Ctrl-C, the current frame is finished and all results so
    far are written. The same happens if a frame cannot be read or the video cannot be written (``failure``).

    Args:
        tracker: the tracker.
        source: the frames.
        box: x, y, width, height of the target in the first frame, in pixels.
        out_dir: a folder that exists.
        lost_threshold: confidence below which the target may be lost.
        write_video: whether to write the annotated video.

    Raises:
        DataError: the first box cannot be used, or the first frame cannot be read.
        BenchError: OpenCV cannot write videos.
    """
    found = VideoTrackResult()
    canvas: list[AnnotatedVideoWriter] = []  # gets a writer with the first frame, which has the size of the video
    try:
        try:
            _track_frames(tracker, source, box, found, lost_threshold, canvas, out_dir if write_video else None)
        except BenchError as error:
            # without a single box there is nothing to keep
            if not found.boxes:
                raise
            found.failure = error
        write_atomic(out_dir / CONFIDENCES_FILE, "".join(f"{value:.4f}\n" for value in found.confidences))
        write_atomic(
            out_dir / BOXES_FILE, "".join(",".join(f"{value:.3f}" for value in row) + "\n" for row in found.boxes)
        )
        try:
            found.video_path = canvas[0].finalize() if canvas else None
        except BenchError as error:
            found.failure = found.failure or error
    except BaseException:
        # a second Ctrl-C, or an error of ours: no half-written video is left behind
        for each in canvas:
            each.discard()
        raise
    if found.failure is not None:
        found.stop_reason = str(found.failure)
    return found


def _track_frames(
    tracker: Tracker,
    source: FrameSource,
    box: BoxLike,
    result: VideoTrackResult,
    lost_threshold: float,
    writers: list[AnnotatedVideoWriter],
    video_dir: Path | None,
) -> None:
    """Track all frames and append to ``result`` and to the video."""
    watch = LostTargetDetector(lost_threshold)
    # a queue of camera frames would only add a delay
    depth = 1 if source.kind == "camera" else PREFETCH_DEPTH
    began = time.perf_counter()
    with (
        catch_sigint() as pressed,
        PrefetchIterator(source.iter_frames(), depth) as frames,
        ProgressBar(source.name, "frames", source.expected_frames) as counter,
    ):
        size: tuple[int, ...] | None = None
        # frames are numbered as in the source, from 0
        for number, frame in enumerate(frames, source.start_frame):
            if size is None:
                first = require_first_box(box, frame.shape[1], frame.shape[0], source.location)
                if video_dir is not None:
                    writers.append(
                        AnnotatedVideoWriter(video_dir, (frame.shape[1], frame.shape[0]), source.fps or DEFAULT_FPS)
                    )
                tracker.init(frame, first)
                where, sure = first, 1.0
            else:
                require_frame_size(frame, size, f"frame {number} (from 0) of {source.location}")
                where, sure = tracker.update(frame), tracker.confidence
                result.network_seconds.append(tracker.network_seconds)
            size = frame.shape
            if message := watch.observe_frame(number, sure):
                counter.log_message(message)
            if writers:
                writers[0].write_frame(draw_prediction(frame, number, where, sure, lost_threshold, watch.is_lost))
            result.boxes.append(where)
            result.confidences.append(sure)
            # updated with every frame, since an error may end the loop at any of them
            result.total_seconds = time.perf_counter() - began
            counter.advance(f"confidence {sure:.2f}")
            # checked after a frame is complete, so that boxes, confidences and video have equally many
            if pressed.is_set():
                result.stop_reason = f"stopped by Ctrl-C after {len(result.boxes)} frames"
                break


def is_partial_result(result: VideoTrackResult, source: FrameSource) -> bool:
    """Return whether tracking ended before its source did.

    Args:
        result: the results.
        source: the source of the frames.
    """
    # a camera ends only by Ctrl-C, so its result is complete
    return bool(result.stop_reason) and source.kind != "camera"


def make_track_summary(
    result: VideoTrackResult, source: FrameSource, box: BoxLike, lost_threshold: float, extra: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``track.json``.

    Args:
        result: the results.
        source: the source of the frames.
        box: x, y, width, height of the target in the first frame, in pixels.
        lost_threshold: confidence below which the target may be lost.
        extra: further fields, on weights and machine.
    """
    spans = find_low_spans(result.confidences, lost_threshold, first_frame=source.start_frame)
    # the first confidence is always 1 and says nothing
    later = result.confidences[1:]
    return {
        # keys are part of the file's format and keep their names
        "schema_version": 1,
        "status": "partial" if is_partial_result(result, source) else "complete",
        "stopped": result.stop_reason or None,
        "source": {
            "kind": source.kind,
            "place": source.location,
            "start": source.start_frame,
            "said_frames": source.expected_frames,
        },
        "frames": len(result.boxes),
        "first_box": [float(value) for value in box],
        "confidence": {
            "low": lost_threshold,
            "patience": LOST_PATIENCE,
            "mean": round(sum(later) / len(later), 4) if later else None,
            "lowest": round(min(later), 4) if later else None,
            "low_spans": [span._asdict() | {"lowest": round(span.lowest, 4)} for span in spans],
        },
        "speed": result.compute_speed(),
        "video": _describe_video(result, source),
        "files": {"boxes": BOXES_FILE, "confidences": CONFIDENCES_FILE},
        "notes": _collect_notes(result, source),
        **extra,
    }


def write_track_summary(out_dir: Path, summary: dict[str, Any]) -> None:
    """Write ``track.json``, the last file: if it exists, the others are complete.

    Args:
        out_dir: folder of the results.
        summary: the content.
    """
    write_atomic(out_dir / SUMMARY_FILE, json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _describe_video(result: VideoTrackResult, source: FrameSource) -> dict[str, Any] | None:
    """Return name and frame rate of the annotated video, or ``None`` if there is none."""
    if result.video_path is None:
        return None
    return {"file": result.video_path.name, "fps": source.fps or DEFAULT_FPS, "fps_of_source": source.fps is not None}


def _collect_notes(result: VideoTrackResult, source: FrameSource) -> Sequence[str]:
    """Return what a reader should know, one sentence each."""
    notes = []
    if result.video_path is not None and result.video_path.suffix != ".mp4":
        notes.append(f"this OpenCV cannot write MP4, so the annotated video is {result.video_path.name} (Motion JPEG)")
    if (
        source.kind == "video"
        and not result.stop_reason
        and source.expected_frames
        and len(result.boxes) < source.expected_frames
    ):
        notes.append(
            f"{source.location} should have {source.expected_frames} frames from there on according to its header, but "
            f"only {len(result.boxes)} could be decoded; it is cut off, or its header has an estimate"
        )
    return notes
