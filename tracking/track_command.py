"""Carry out ``bench track``: from a request to a folder of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.device import describe_device, resolve_device
from engine.progress_bar import log_message
from engine.run_environment import collect_package_versions, utc_now
from foundation.errors import UserError
from foundation.files import ensure_writable_dir, sha256_file
from foundation.plural import format_count
from results.records.store import next_attempt_folder, read_record
from tracking.data.boxes import BoxLike
from tracking.data.readers.folder import GROUND_TRUTH_FILE
from tracking.evaluate_run import load_tracker
from tracking.inference.backend import TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.ostrack_checkpoint import load_ostrack_model
from tracking.ostrack_settings import describe_tracker, find_matching_protocol
from tracking.video.frame_source import FrameSource, open_frame_source
from tracking.video.lost_target import LOST_THRESHOLD
from tracking.video.request import TrackVideoRequest
from tracking.video.track_video import (
    SUMMARY_FILE,
    is_partial_result,
    make_track_summary,
    track_video,
    write_track_summary,
)

# next to the runs of tasks
DEFAULT_RESULTS_DIR = Path("runs") / "track"


@dataclass(frozen=True)
class TrackReport:
    """The result of ``bench track``.

    Attributes:
        folder: folder with the results.
        data: content of ``track.json``.
        interrupted: whether Ctrl-C ended tracking before the source did.
    """

    folder: Path
    data: dict[str, Any]
    interrupted: bool

    @property
    def text(self) -> str:
        """The report for the terminal."""
        data = self.data
        speed, sure = data["speed"], data["confidence"]
        lines = [
            f"{format_count(data['frames'], 'frame')} tracked" + (", PARTIAL" if data["status"] == "partial" else "")
        ]
        if data["stopped"]:
            lines.append(data["stopped"])
        # a single frame gives no speed and no confidence
        if speed["network_frames_per_second"]:
            lines.append(
                f"{speed['end_to_end_frames_per_second']:.1f} frames/s end to end, "
                f"{speed['network_frames_per_second']:.1f} in the network alone ({data['runtime']}, "
                f"{data['precision']}, {data['device']}, {format_count(data['threads'], 'thread')})"
            )
            lines.append(
                f"confidence: mean {sure['mean']:.2f}, lowest {sure['lowest']:.2f}; {_describe_low_spans(sure)}"
            )
        files = [*data["files"].values(), *([data["video"]["file"]] if data["video"] else []), SUMMARY_FILE]
        return "\n".join([*lines, *data["notes"], f"{self.folder}: {', '.join(files)}"])


def run_track_command(request: TrackVideoRequest) -> TrackReport:
    """Follow one target and write the results.

    Args:
        request: source, first box, tracker and options.

    Raises:
        UserError: settings contradict each other, or the source, the box or the weights cannot be used.
        DataError: a frame cannot be read; the results before it are kept and marked as partial.
        BenchError: the annotated video cannot be written.
    """
    threshold = LOST_THRESHOLD if request.lost_threshold is None else request.lost_threshold
    if not 0 <= threshold < 1:
        raise UserError(
            f"--lost-threshold {threshold:g} cannot be compared with a confidence; give a number from 0 (never lost) "
            "to below 1"
        )
    device = resolve_device(request.device)
    # the source and the box are checked before the weights, whose loading takes longer
    source = open_frame_source(request.source, request.start_frame, request.max_frames)
    box, box_from = resolve_first_box(request.init_box, source)
    tracker, weights = load_requested_tracker(request, device)
    folder = choose_result_folder(request.out_dir, source.name)
    started = utc_now()
    try:
        found = track_video(tracker, source, box, folder, lost_threshold=threshold, write_video=request.write_video)
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()  # an empty folder would only take the name of the next result
        raise
    more = {
        "first_box_from": box_from,
        **weights,
        "runtime": tracker.network.runtime,
        "precision": tracker.network.precision,
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "started": started,
        "finished": utc_now(),
        "packages": collect_package_versions(),
        "command": list(request.command_line),
    }
    data = make_track_summary(found, source, box, threshold, more)
    # before a failure is raised, so that the results so far are described
    write_track_summary(folder, data)
    if found.failure is not None:
        log_message(
            f"{format_count(len(found.boxes), 'frame')} tracked before that are kept in {folder}, marked partial"
        )
        raise found.failure
    return TrackReport(folder, data, is_partial_result(found, source))


def load_requested_tracker(request: TrackVideoRequest, device: str) -> tuple[Tracker, dict[str, Any]]:
    """Load the tracker of a request.

    Args:
        request: the request.
        device: ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The tracker, and what the summary says about its weights.

    Raises:
        UserError: neither or both of ``--run`` and ``--checkpoint`` are given, or the weights cannot be used.
    """
    if (request.run_dir is None) == (request.checkpoint is None):
        raise UserError(
            "give a trained tracker: --run FOLDER of a finished bench run, or --checkpoint FILE of OSTrack's code with "
            "--backbone NAME"
        )
    # a record names backbone and protocol; a checkpoint does not
    if request.run_dir is not None:
        if request.backbone or request.protocol:
            raise UserError("--run knows its backbone and protocol; leave --backbone and --protocol out")
        record = read_record(request.run_dir)
        tracker = load_tracker(request.run_dir, device, runtime=request.runtime, precision=request.precision)
        return tracker, {
            "weights": {"run": str(request.run_dir), "run_id": record.run_id},
            "backbone": record.backbone.name,
            "protocol": record.protocol,
        }
    if request.runtime not in (None, "torch") or request.precision not in (None, "f32"):
        raise UserError(
            "a --checkpoint is tracked with torch in f32, as only runs can be exported; leave --runtime and "
            "--precision out"
        )
    if not request.backbone:
        raise UserError("--checkpoint needs --backbone NAME, the plain ViT that was trained (OSTrack's is vit_base)")
    assert request.checkpoint is not None  # by the first check; for the type checker
    model, recipe, report = load_ostrack_model(request.checkpoint, request.backbone, request.protocol)
    tracker = Tracker(TorchNetwork(model.to(device)), recipe.crop_sizes(), request.backbone)
    log_message(
        f"{request.checkpoint}: {report.matched} tensors loaded, {len(report.dropped)} not used; "
        + "; ".join(report.notes)
    )
    return tracker, {
        "weights": {
            "checkpoint": str(request.checkpoint),
            # a checkpoint has no id, so its content identifies it
            "sha256": sha256_file(request.checkpoint),
            "matched": report.matched,
            "dropped": report.dropped,
            "notes": report.notes,
        },
        "backbone": request.backbone,
        # the protocol whose crops and elimination these are; there may be none
        "protocol": request.protocol or find_matching_protocol(recipe),
        "tracker": describe_tracker(recipe),
    }


def resolve_first_box(init_box: BoxLike | None, source: FrameSource) -> tuple[BoxLike, str]:
    """Return the box to start from, and where it comes from.

    Args:
        init_box: x, y, width, height in pixels from the command line, or ``None``.
        source: the source of the frames, which may have a box.

    Raises:
        UserError: there is no box.
    """
    if init_box is not None:
        return init_box, "--init"
    if source.first_box is not None:
        where = f"{GROUND_TRUTH_FILE}, line {source.start_frame + 1}"
        # a box that the user did not give is announced, as it may be of another target
        log_message(
            f"the first box is that of {Path(source.location) / GROUND_TRUTH_FILE}, line {source.start_frame + 1}"
        )
        return source.first_box, where
    raise UserError(
        "the box of the target in the first frame is missing; give it with --init x,y,w,h: left and top edge, width "
        "and height in pixels (any image viewer shows them)"
    )


def choose_result_folder(requested: Path | None, source_name: str) -> Path:
    """Return a folder for the results: the requested one if it is empty, else ``runs/track/<name>``, ``.2``, ``.3`` ...

    Args:
        requested: the requested folder, or ``None``.
        source_name: name of the source.

    Raises:
        UserError: the requested folder has files in it or cannot be written.
    """
    if requested is None:
        # a result is never overwritten
        folder = next_attempt_folder(DEFAULT_RESULTS_DIR, source_name)
    else:
        folder = requested
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} has files in it already; name another folder with --out, or remove it")
    ensure_writable_dir(folder)
    return folder


def _describe_low_spans(confidence: dict[str, Any]) -> str:
    """Return the spans of low confidence in words, at most eight of them."""
    spans = confidence["low_spans"]
    if not spans:
        return f"nowhere below {confidence['low']:g} for {confidence['patience']} frames"
    # a long video can have hundreds; all are in track.json
    shown = ", ".join(f"{span['first']}-{span['last']}" for span in spans[:8])
    more = f" and {len(spans) - 8} more" if len(spans) > 8 else ""
    return f"below {confidence['low']:g} in frames {shown}{more} (from 0): the target may be lost there"
