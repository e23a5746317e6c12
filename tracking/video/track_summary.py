"""The summary of ``bench track``, ``track.json``: what was tracked with what, how surely and how fast."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.display_text import escape_controls
from foundation.files import write_atomic
from foundation.plural import format_count
from tracking.video.frame_source import FrameSource
from tracking.video.frame_times import TIMES_FILE, fill_missing_times, find_uneven_spacing
from tracking.video.lost_target import LOST_PATIENCE, find_low_spans
from tracking.video.target_track import TargetTrack
from tracking.video.track_video import DEFAULT_FPS, VideoTrackResult, name_target_files

SUMMARY_FILE = "track.json"


def is_partial_result(result: VideoTrackResult, source: FrameSource) -> bool:
    """Return whether tracking ended before its source did.

    Args:
        result: the results.
        source: the source of the frames.
    """
    # a camera ends only by Ctrl-C, so its result is complete
    return bool(result.stop_reason) and source.kind != "camera"


def make_track_summary(result: VideoTrackResult, source: FrameSource, extra: dict[str, Any]) -> dict[str, Any]:
    """Return the content of ``track.json``.

    What is said of a target stands directly in it if there is one target, else in ``targets``.

    Args:
        result: the results.
        source: the source of the frames.
        extra: further fields, on weights and machine.
    """
    targets = [_describe_target(each, len(result.targets), source) for each in result.targets]
    times = {"times": TIMES_FILE} if fill_missing_times(result.frame_times, source.fps) else {}
    # one target has the form that it had before there could be several, as other programs read it
    only = targets[0] if len(targets) == 1 else None
    return {
        # keys are part of the file's format and keep their names
        "schema_version": 1 if only else 2,
        "status": "partial" if is_partial_result(result, source) else "complete",
        "stopped": result.stop_reason or None,
        "source": {
            "kind": source.kind,
            "place": source.location,
            "start": source.start_frame,
            "said_frames": source.expected_frames,
        },
        "frames": result.num_frames,
        **({key: only[key] for key in ("first_box", "confidence")} if only else {"targets": targets}),
        "speed": result.compute_speed(),
        "video": _describe_video(result, source),
        "files": {**(only["files"] if only else {}), **times},
        "notes": _collect_notes(result, source),
        **({"first_box_from": only["first_box_from"]} if only else {}),
        **extra,
    }


def list_described_targets(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a summary says of each target: ``first_box``, ``confidence`` and ``files`` among others.

    Args:
        summary: the content of ``track.json``.
    """
    several: list[dict[str, Any]] | None = summary.get("targets")
    return [summary] if several is None else several


def list_result_files(summary: dict[str, Any]) -> list[str]:
    """Return the names of all result files, in the order in which a person looks at them.

    Args:
        summary: the content of ``track.json``.
    """
    # files of the whole video come after those of its targets
    files = (
        [summary["files"]]
        if "targets" not in summary
        else [*(t["files"] for t in summary["targets"]), summary["files"]]
    )
    names = [name for each in files for name in each.values()]
    return [*names, *([summary["video"]["file"]] if summary["video"] else []), SUMMARY_FILE]


def _describe_target(target: TargetTrack, num_targets: int, source: FrameSource) -> dict[str, Any]:
    """Return what the summary says of one target."""
    lost_threshold = target.start.lost_threshold
    spans = find_low_spans(target.confidences, lost_threshold, first_frame=source.start_frame)
    # the first confidence is always 1 and says nothing
    later = target.confidences[1:]
    boxes_file, confidences_file = name_target_files(target.number, num_targets)
    return {
        "number": target.number,
        "first_box": [float(value) for value in target.start.box],
        "first_box_from": target.start.origin,
        "confidence": {
            "low": lost_threshold,
            "patience": LOST_PATIENCE,
            "mean": round(sum(later) / len(later), 4) if later else None,
            "lowest": round(min(later), 4) if later else None,
            "low_spans": [span._asdict() | {"lowest": round(span.lowest, 4)} for span in spans],
        },
        "files": {"boxes": boxes_file, "confidences": confidences_file},
    }


def write_track_summary(out_dir: Path, summary: dict[str, Any]) -> None:
    """Write ``track.json``, the last file: if it exists, the others are complete.

    Args:
        out_dir: folder of the results.
        summary: the content.
    """
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    # a path may have bytes that are not UTF-8; as escapes of JSON they can be written, and read back
    write_atomic(out_dir / SUMMARY_FILE, escape_controls(text) + "\n")


def _describe_video(result: VideoTrackResult, source: FrameSource) -> dict[str, Any] | None:
    """Return name and frame rate of the annotated video, or ``None`` if there is none."""
    if result.video_path is None:
        return None
    return {"file": result.video_path.name, "fps": source.fps or DEFAULT_FPS, "fps_of_source": source.fps is not None}


def _collect_notes(result: VideoTrackResult, source: FrameSource) -> Sequence[str]:
    """Return what a reader should know, one sentence each."""
    notes = list(source.notes)
    if result.video_path is not None and result.video_path.suffix != ".mp4":
        notes.append(f"this OpenCV cannot write MP4, so the annotated video is {result.video_path.name} (Motion JPEG)")
    if (
        source.kind == "video"
        and not result.stop_reason
        and source.expected_frames
        and result.num_frames < source.expected_frames
    ):
        notes.append(
            f"{source.location} should have {source.expected_frames} frames from there on according to its header, but "
            f"only {result.num_frames} could be decoded; it is cut off, or its header has an estimate"
        )
    return [*notes, *_list_time_notes(result, source)]


def _list_time_notes(result: VideoTrackResult, source: FrameSource) -> list[str]:
    """Return what a reader should know of the times of a video's frames."""
    # images have no times, and those of a camera are read from the clock
    if source.kind != "video":
        return []
    filled = fill_missing_times(result.frame_times, source.fps)
    if filled is None:
        return [f"{source.location} has no times for its frames and no frame rate, so there is no {TIMES_FILE}"]
    times, num_estimated = filled
    notes = []
    if num_estimated:
        notes.append(
            f"{source.location} has no time for {format_count(num_estimated, 'frame')}; in {TIMES_FILE} they follow "
            f"from the frame rate of {source.fps:g}"
        )
    # estimated times are as even as the frame rate, which says nothing of the video
    elif (spacing := find_uneven_spacing(times)) is not None:
        video = (
            f"; {result.video_path.name} has {source.fps or DEFAULT_FPS:g} a second throughout"
            if result.video_path
            else ""
        )
        notes.append(
            f"the frame rate varies: frames are {spacing[0]:.3f} to {spacing[1]:.3f} s apart, see {TIMES_FILE}{video}"
        )
    return notes
