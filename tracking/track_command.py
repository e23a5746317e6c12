"""``bench track``: from the options to a folder of results."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.device import describe_device, resolve_device
from engine.progress import log_message
from engine.run_environment import collect_package_versions, utc_now
from foundation.errors import UserError
from foundation.files import ensure_writable_dir, sha256_file
from results.records.store import next_attempt_folder, read_record
from tracking.data.boxes import BoxLike
from tracking.data.readers.folder import GROUND_TRUTH_FILE
from tracking.evaluate_run import load_tracker
from tracking.inference.tracker import Tracker
from tracking.ostrack_checkpoint import OSTRACK_PROTOCOLS, load_ostrack_tracker
from tracking.video.frame_source import FrameSource, open_frame_source
from tracking.video.lost_target import LOST_THRESHOLD
from tracking.video.track_video import (
    SUMMARY_FILE,
    VideoTrackResult,
    make_track_summary,
    track_video,
    write_track_summary,
)

DEFAULT_RESULTS_DIR = Path("runs") / "track"


@dataclass(frozen=True)
class TrackReport:
    """What ``bench track`` made.

    Attributes:
        folder: with the results.
        data: the content of ``track.json``.
        interrupted: whether Ctrl-C ended it before the source did.
    """

    folder: Path
    data: dict[str, Any]
    interrupted: bool

    @property
    def text(self) -> str:
        """For the terminal."""
        data = self.data
        speed, sure = data["speed"], data["confidence"]
        lines = [
            f"{_pluralize(data['frames'], 'frame')} tracked" + (", PARTIAL" if data["status"] == "partial" else "")
        ]
        if data["stopped"]:
            lines.append(data["stopped"])
        if speed["network_frames_per_second"]:
            lines.append(
                f"{speed['end_to_end_frames_per_second']:.1f} frames/s end to end, "
                f"{speed['network_frames_per_second']:.1f} in the network alone ({data['runtime']}, "
                f"{data['precision']}, {data['device']}, {_pluralize(data['threads'], 'thread')})"
            )
            lines.append(
                f"confidence: mean {sure['mean']:.2f}, lowest {sure['lowest']:.2f}; {_describe_low_spans(sure)}"
            )
        files = [*data["files"].values(), *([data["video"]["file"]] if data["video"] else []), SUMMARY_FILE]
        return "\n".join([*lines, *data["notes"], f"{self.folder}: {', '.join(files)}"])


def run_track_command(options: Namespace) -> TrackReport:
    """Follow one target and write what was found.

    Raises:
        UserError: options that do not go together, a source, a box or weights that cannot be used.
        DataError: a frame cannot be read; what was tracked before it is kept, marked partial.
        BenchError: the annotated video cannot be written.
    """
    low = LOST_THRESHOLD if options.low is None else options.low
    if not 0 <= low < 1:
        raise UserError(f"--low {low:g} is no confidence to compare with; give 0 (never low) to below 1")
    device = resolve_device(options.device)
    source = open_frame_source(options.source, options.start, options.frames)
    box, box_from = resolve_first_box(options.init, source)
    tracker, weights = load_tracker_from_options(options, device)
    folder = choose_result_folder(options.out, source.name)
    started = utc_now()
    try:
        found = track_video(tracker, source, box, folder, lost_threshold=low, write_video=options.video)
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()  # an empty folder says nothing
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
        "command": options.command_line,
    }
    data = make_track_summary(found, source, box, low, more)
    write_track_summary(folder, data)
    if found.failure is not None:
        log_message(f"{_pluralize(len(found.boxes), 'frame')} tracked before that are kept in {folder}, marked partial")
        raise found.failure
    return TrackReport(folder, data, _was_interrupted(found, source))


def load_tracker_from_options(options: Namespace, device: str) -> tuple[Tracker, dict[str, Any]]:
    """The tracker that the options name, and what the record says of its weights.

    Raises:
        UserError: neither or both of ``--run`` and ``--checkpoint``, or weights that cannot be used.
    """
    if (options.run is None) == (options.checkpoint is None):
        raise UserError(
            "give a trained tracker: --run FOLDER of a finished bench run, or --checkpoint FILE of OSTrack's code with "
            "--backbone NAME"
        )
    if options.run is not None:
        if options.backbone or options.protocol:
            raise UserError("--run knows its backbone and protocol; leave --backbone and --protocol out")
        record = read_record(options.run)
        tracker = load_tracker(options.run, device, runtime=options.runtime, precision=options.precision)
        return tracker, {
            "weights": {"run": str(options.run), "run_id": record.run_id},
            "backbone": record.backbone.name,
            "protocol": record.protocol,
        }
    if options.runtime not in (None, "torch") or options.precision not in (None, "f32"):
        raise UserError("a --checkpoint is tracked in torch, in f32; only runs can be exported for other runtimes")
    if not options.backbone:
        raise UserError("--checkpoint needs --backbone NAME, the plain ViT it was trained with (OSTrack's: vit_base)")
    protocol = options.protocol or OSTRACK_PROTOCOLS[0]
    tracker, report = load_ostrack_tracker(options.checkpoint, options.backbone, protocol, device)
    log_message(
        f"{options.checkpoint}: {report.matched} tensors in place, {len(report.dropped)} not used; {report.notes[0]}"
    )
    return tracker, {
        "weights": {
            "checkpoint": str(options.checkpoint),
            "sha256": sha256_file(options.checkpoint),
            "matched": report.matched,
            "dropped": report.dropped,
            "notes": report.notes,
        },
        "backbone": options.backbone,
        "protocol": protocol,
    }


def resolve_first_box(init_box: BoxLike | None, source: FrameSource) -> tuple[BoxLike, str]:
    """The box to start from, and where it is from.

    Raises:
        UserError: none was given and the source has none.
    """
    if init_box is not None:
        return init_box, "--init"
    if source.first_box is not None:
        where = f"{GROUND_TRUTH_FILE}, line {source.start_frame + 1}"
        log_message(
            f"the first box is that of {Path(source.location) / GROUND_TRUTH_FILE}, line {source.start_frame + 1}"
        )
        return source.first_box, where
    raise UserError(
        "say where the target is in the first frame with --init x,y,w,h: the left and top edge of its box, its width "
        "and its height, in pixels (any picture viewer shows them)"
    )


def choose_result_folder(requested: Path | None, source_name: str) -> Path:
    """A folder of its own: the one asked for if it is empty, else ``runs/track/<name>``, ``.2``, ``.3`` ...

    Raises:
        UserError: the one asked for has files, or cannot be written.
    """
    if requested is None:
        folder = next_attempt_folder(DEFAULT_RESULTS_DIR, source_name)
    else:
        folder = requested
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} has files in it already; name another folder with --out, or remove it")
    ensure_writable_dir(folder)
    return folder


def _was_interrupted(found: VideoTrackResult, source: FrameSource) -> bool:
    return bool(found.stop_reason) and source.kind != "camera"


def _pluralize(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _describe_low_spans(confidence: dict[str, Any]) -> str:
    spans = confidence["low_spans"]
    if not spans:
        return f"nowhere below {confidence['low']:g} for {confidence['patience']} frames"
    shown = ", ".join(f"{span['first']}-{span['last']}" for span in spans[:8])
    more = f" and {len(spans) - 8} more" if len(spans) > 8 else ""
    return f"below {confidence['low']:g} in frames {shown}{more} (from 0): the target may be lost there"
