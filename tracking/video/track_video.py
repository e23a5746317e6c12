"""Follow one target through any source of frames, and keep what was found: boxes, confidences, an annotated video."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from engine.progress_bar import Counter
from foundation.errors import BenchError, DataError
from foundation.files import write_atomic
from tracking.data.boxes import BoxLike, Floats, require_first_box
from tracking.data.crops import Image
from tracking.inference.prefetch import DEPTH, Ahead
from tracking.inference.tracker import Tracker
from tracking.video.annotate import AnnotatedVideo, draw
from tracking.video.frame_source import Source
from tracking.video.lost_target import LOW, PATIENCE, Watch, low_spans
from tracking.video.sigint import ctrl_c

BOXES, CONFIDENCES, SUMMARY = "boxes.txt", "confidence.txt", "track.json"
USUAL_FPS = 30.0
"""Of the annotated video where the source says nothing of itself, as LaSOT's sequences."""
WARM_UP = 3


@dataclass
class Followed:
    """What was tracked, frame by frame.

    Attributes:
        boxes: x, y, w, h of each frame, pixels; the first as given.
        confidences: 0 to 1; 1 for the first.
        looks: seconds in the network, of every frame but the first.
        seconds: of the whole loop: reading, crop, network, drawing, encoding.
        stopped: why it ended before the source did; "" if it did not.
        failure: what could not be read or written, where that is why.
        video: the annotated video, once it is whole.
    """

    boxes: list[Floats] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""
    failure: BenchError | None = None
    video: Path | None = None

    def speed(self) -> dict[str, float | None]:
        """Frames/s of the whole loop, and of the network alone (median, the first three dropped)."""
        kept = self.looks[WARM_UP:] or self.looks
        return {
            "end_to_end_frames_per_second": round(len(self.boxes) / self.seconds, 2) if self.seconds else None,
            "network_frames_per_second": round(1 / median(kept), 2) if kept else None,
        }


def follow(
    tracker: Tracker, source: Source, box: BoxLike, out: Path, *, low: float = LOW, video: bool = True
) -> Followed:
    """Track through ``source`` and write the boxes, the confidences and the annotated video into ``out``.

    Files take their names at the end, whole. Ctrl-C ends the loop after the frame in hand and keeps what there is; so
    does a frame that cannot be read, or a video that cannot be written (``failure``).

    Args:
        tracker: of a trained network.
        source: the frames.
        box: x, y, w, h in the first of them, pixels.
        out: a folder that exists.
        low: confidence below which the target may be lost.
        video: whether to make the annotated video.

    Raises:
        DataError: the first box does not fit, or the first frame cannot be read.
        BenchError: no video can be written at all.
    """
    found = Followed()
    canvas: list[AnnotatedVideo] = []  # made with the first frame, whose size it has
    try:
        try:
            _loop(tracker, source, box, found, low, canvas, out if video else None)
        except BenchError as error:
            if not found.boxes:
                raise
            found.failure = error
        write_atomic(out / CONFIDENCES, "".join(f"{value:.4f}\n" for value in found.confidences))
        write_atomic(out / BOXES, "".join(",".join(f"{value:.3f}" for value in row) + "\n" for row in found.boxes))
        try:
            found.video = canvas[0].finish() if canvas else None
        except BenchError as error:
            found.failure = found.failure or error
    except BaseException:
        for each in canvas:
            each.discard()
        raise
    if found.failure is not None:
        found.stopped = str(found.failure)
    return found


def _loop(
    tracker: Tracker,
    source: Source,
    box: BoxLike,
    found: Followed,
    low: float,
    canvas: list[AnnotatedVideo],
    out: Path | None,
) -> None:
    watch = Watch(low)
    depth = 1 if source.kind == "camera" else DEPTH  # a camera's frames should be new, not many
    began = time.perf_counter()
    with (
        ctrl_c() as pressed,
        Ahead(source.frames(), depth) as frames,
        Counter(source.name, "frames", source.count) as counter,
    ):
        size: tuple[int, ...] | None = None
        for number, frame in enumerate(frames, source.start):
            if size is None:
                first = require_first_box(box, frame.shape[1], frame.shape[0], source.place)
                if out is not None:
                    canvas.append(AnnotatedVideo(out, (frame.shape[1], frame.shape[0]), source.fps or USUAL_FPS))
                tracker.init(frame, first)
                where, sure = first, 1.0
            else:
                _require_size(frame, size, number, source)
                where, sure = _update(tracker, frame, found), tracker.confidence
            size = frame.shape
            if message := watch.see(number, sure):
                counter.say(message)
            if canvas:
                canvas[0].write(draw(frame, number, where, sure, low, watch.lost))
            found.boxes.append(where)
            found.confidences.append(sure)
            found.seconds = time.perf_counter() - began
            counter.step(f"confidence {sure:.2f}")
            if pressed.is_set():
                found.stopped = f"stopped by Ctrl-C after {len(found.boxes)} frames"
                break


def _update(tracker: Tracker, frame: Image, found: Followed) -> Floats:
    """``tracker.update`` with the network timed (its maps are on the CPU when it returns, so nothing is pending)."""
    crop = tracker.search(frame)
    began = time.perf_counter()
    maps = tracker.network.look([tracker.memory], [crop])
    found.looks.append(time.perf_counter() - began)
    return tracker.settle(*maps)


def _require_size(frame: Image, size: tuple[int, ...], number: int, source: Source) -> None:
    if frame.shape != size:
        raise DataError(
            f"frame {number} (from 0) of {source.place} is {frame.shape[1]} x {frame.shape[0]} px and the first "
            f"{size[1]} x {size[0]}; all frames have one size"
        )


def summary(found: Followed, source: Source, box: BoxLike, low: float, more: dict[str, Any]) -> dict[str, Any]:
    """What ``track.json`` says; ``more`` tells of the weights and the machine."""
    spans = low_spans(found.confidences, low, start=source.start)
    later = found.confidences[1:]
    partial = bool(found.stopped) and source.kind != "camera"  # which only Ctrl-C ends
    return {
        "schema_version": 1,
        "status": "partial" if partial else "complete",
        "stopped": found.stopped or None,
        "source": {"kind": source.kind, "place": source.place, "start": source.start, "said_frames": source.count},
        "frames": len(found.boxes),
        "first_box": [float(value) for value in box],
        "confidence": {
            "low": low,
            "patience": PATIENCE,
            "mean": round(sum(later) / len(later), 4) if later else None,
            "lowest": round(min(later), 4) if later else None,
            "low_spans": [span._asdict() | {"lowest": round(span.lowest, 4)} for span in spans],
        },
        "speed": found.speed(),
        "video": _video(found, source),
        "files": {"boxes": BOXES, "confidences": CONFIDENCES},
        "notes": _notes(found, source),
        **more,
    }


def write_summary(out: Path, data: dict[str, Any]) -> None:
    """``track.json``, the last file: where it is, the others are whole."""
    write_atomic(out / SUMMARY, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _video(found: Followed, source: Source) -> dict[str, Any] | None:
    if found.video is None:
        return None
    return {"file": found.video.name, "fps": source.fps or USUAL_FPS, "fps_of_source": source.fps is not None}


def _notes(found: Followed, source: Source) -> Sequence[str]:
    notes = []
    if found.video is not None and found.video.suffix != ".mp4":
        notes.append(f"this OpenCV cannot write MP4, so the annotated video is {found.video.name} (Motion JPEG)")
    if source.kind == "video" and not found.stopped and source.count and len(found.boxes) < source.count:
        notes.append(
            f"{source.place} says it has {source.count} frames from there on, and {len(found.boxes)} could be decoded; "
            "it is cut short, or its count is an estimate"
        )
    return notes
