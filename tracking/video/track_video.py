"""Follow one target through any source of frames, and keep what was found: boxes, confidences, an annotated video."""

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
"""Of the annotated video where the source says nothing of itself, as LaSOT's sequences."""
VIDEO_WARMUP_FRAMES = 3


@dataclass
class VideoTrackResult:
    """What was tracked, frame by frame.

    Attributes:
        boxes: x, y, w, h of each frame, pixels; the first as given.
        confidences: 0 to 1; 1 for the first.
        network_seconds: seconds in the network, of every frame but the first.
        total_seconds: of the whole loop: reading, crop, network, drawing, encoding.
        stop_reason: why it ended before the source did; "" if it did not.
        failure: what could not be read or written, where that is why.
        video_path: the annotated video, once it is whole.
    """

    boxes: list[FloatArray] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    network_seconds: list[float] = field(default_factory=list)
    total_seconds: float = 0.0
    stop_reason: str = ""
    failure: BenchError | None = None
    video_path: Path | None = None

    def compute_speed(self) -> dict[str, float | None]:
        """Frames/s of the whole loop, and of the network alone (median, the first three dropped)."""
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
    """Track through ``source`` and write the boxes, the confidences and the annotated video into ``out_dir``.

    Files take their names at the end, whole. Ctrl-C ends the loop after the frame in hand and keeps what there is; so
    does a frame that cannot be read, or a video that cannot be written (``failure``).

    Args:
        tracker: of a trained network.
        source: the frames.
        box: x, y, w, h in the first of them, pixels.
        out_dir: a folder that exists.
        lost_threshold: confidence below which the target may be lost.
        write_video: whether to make the annotated video.

    Raises:
        DataError: the first box does not fit, or the first frame cannot be read.
        BenchError: no video can be written at all.
    """
    found = VideoTrackResult()
    canvas: list[AnnotatedVideoWriter] = []  # made with the first frame, whose size it has
    try:
        try:
            _track_frames(tracker, source, box, found, lost_threshold, canvas, out_dir if write_video else None)
        except BenchError as error:
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
    watch = LostTargetDetector(lost_threshold)
    depth = 1 if source.kind == "camera" else PREFETCH_DEPTH  # a camera's frames should be new, not many
    began = time.perf_counter()
    with (
        catch_sigint() as pressed,
        PrefetchIterator(source.iter_frames(), depth) as frames,
        ProgressBar(source.name, "frames", source.expected_frames) as counter,
    ):
        size: tuple[int, ...] | None = None
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
            result.total_seconds = time.perf_counter() - began
            counter.advance(f"confidence {sure:.2f}")
            if pressed.is_set():
                result.stop_reason = f"stopped by Ctrl-C after {len(result.boxes)} frames"
                break


def is_partial_result(result: VideoTrackResult, source: FrameSource) -> bool:
    """Whether tracking ended before its source did; a camera ends by Ctrl-C only, so its result is complete."""
    return bool(result.stop_reason) and source.kind != "camera"


def make_track_summary(
    result: VideoTrackResult, source: FrameSource, box: BoxLike, lost_threshold: float, extra: dict[str, Any]
) -> dict[str, Any]:
    """What ``track.json`` says; ``extra`` tells of the weights and the machine."""
    spans = find_low_spans(result.confidences, lost_threshold, first_frame=source.start_frame)
    later = result.confidences[1:]
    return {
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
    """``track.json``, the last file: where it is, the others are whole."""
    write_atomic(out_dir / SUMMARY_FILE, json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _describe_video(result: VideoTrackResult, source: FrameSource) -> dict[str, Any] | None:
    if result.video_path is None:
        return None
    return {"file": result.video_path.name, "fps": source.fps or DEFAULT_FPS, "fps_of_source": source.fps is not None}


def _collect_notes(result: VideoTrackResult, source: FrameSource) -> Sequence[str]:
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
            f"{source.location} says it has {source.expected_frames} frames from there on, and "
            f"{len(result.boxes)} could be decoded; it is cut short, or its count is an estimate"
        )
    return notes
