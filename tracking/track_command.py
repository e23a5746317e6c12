"""``bench track``: from the options to a folder of results."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.device import describe_device, resolve_device
from engine.progress import say
from engine.run_environment import package_versions, utc_now
from foundation.errors import UserError
from foundation.files import require_writable, sha256_file
from results.records.store import next_attempt, read_record
from tracking.data.boxes import BoxLike
from tracking.data.readers.folder import GROUND_TRUTH
from tracking.evaluate_run import load_tracker
from tracking.inference.tracker import Tracker
from tracking.ostrack_checkpoint import PROTOCOLS, load_ostrack
from tracking.video.frame_source import Source, open_source
from tracking.video.lost_target import LOW
from tracking.video.track_video import SUMMARY, Followed, follow, summary, write_summary

OUT = Path("runs") / "track"


@dataclass(frozen=True)
class Report:
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
        lines = [f"{_plural(data['frames'], 'frame')} tracked" + (", PARTIAL" if data["status"] == "partial" else "")]
        if data["stopped"]:
            lines.append(data["stopped"])
        if speed["network_frames_per_second"]:
            lines.append(
                f"{speed['end_to_end_frames_per_second']:.1f} frames/s end to end, "
                f"{speed['network_frames_per_second']:.1f} in the network alone ({data['runtime']}, "
                f"{data['precision']}, {data['device']}, {_plural(data['threads'], 'thread')})"
            )
            lines.append(f"confidence: mean {sure['mean']:.2f}, lowest {sure['lowest']:.2f}; {_spans(sure)}")
        files = [*data["files"].values(), *([data["video"]["file"]] if data["video"] else []), SUMMARY]
        return "\n".join([*lines, *data["notes"], f"{self.folder}: {', '.join(files)}"])


def track(options: Namespace) -> Report:
    """Follow one target and write what was found.

    Raises:
        UserError: options that do not go together, a source, a box or weights that cannot be used.
        DataError: a frame cannot be read; what was tracked before it is kept, marked partial.
        BenchError: the annotated video cannot be written.
    """
    low = LOW if options.low is None else options.low
    if not 0 <= low < 1:
        raise UserError(f"--low {low:g} is no confidence to compare with; give 0 (never low) to below 1")
    device = resolve_device(options.device)
    source = open_source(options.source, options.start, options.frames)
    box, box_from = first_box(options.init, source)
    tracker, weights = load(options, device)
    folder = result_folder(options.out, source.name)
    started = utc_now()
    try:
        found = follow(tracker, source, box, folder, low=low, video=options.video)
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
        "packages": package_versions(),
        "command": options.command_line,
    }
    data = summary(found, source, box, low, more)
    write_summary(folder, data)
    if found.failure is not None:
        say(f"{_plural(len(found.boxes), 'frame')} tracked before that are kept in {folder}, marked partial")
        raise found.failure
    return Report(folder, data, _interrupted(found, source))


def load(options: Namespace, device: str) -> tuple[Tracker, dict[str, Any]]:
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
    protocol = options.protocol or PROTOCOLS[0]
    tracker, report = load_ostrack(options.checkpoint, options.backbone, protocol, device)
    say(f"{options.checkpoint}: {report.matched} tensors in place, {len(report.dropped)} not used; {report.notes[0]}")
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


def first_box(given: BoxLike | None, source: Source) -> tuple[BoxLike, str]:
    """The box to start from, and where it is from.

    Raises:
        UserError: none was given and the source has none.
    """
    if given is not None:
        return given, "--init"
    if source.truth is not None:
        where = f"{GROUND_TRUTH}, line {source.start + 1}"
        say(f"the first box is that of {Path(source.place) / GROUND_TRUTH}, line {source.start + 1}")
        return source.truth, where
    raise UserError(
        "say where the target is in the first frame with --init x,y,w,h: the left and top edge of its box, its width "
        "and its height, in pixels (any picture viewer shows them)"
    )


def result_folder(wanted: Path | None, name: str) -> Path:
    """A folder of its own: the one asked for if it is empty, else ``runs/track/<name>``, ``.2``, ``.3`` ...

    Raises:
        UserError: the one asked for has files, or cannot be written.
    """
    if wanted is None:
        folder = next_attempt(OUT, name)
    else:
        folder = wanted
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} has files in it already; name another folder with --out, or remove it")
    require_writable(folder)
    return folder


def _interrupted(found: Followed, source: Source) -> bool:
    return bool(found.stopped) and source.kind != "camera"


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _spans(sure: dict[str, Any]) -> str:
    spans = sure["low_spans"]
    if not spans:
        return f"nowhere below {sure['low']:g} for {sure['patience']} frames"
    shown = ", ".join(f"{span['first']}-{span['last']}" for span in spans[:8])
    more = f" and {len(spans) - 8} more" if len(spans) > 8 else ""
    return f"below {sure['low']:g} in frames {shown}{more} (from 0): the target may be lost there"
