"""``bench track VIDEO|FOLDER|CAMERA``: follow one or several targets through a video."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.arguments.number_types import parse_finite, parse_nonnegative_int, parse_positive_int
from benchmarks.cli.common_options import add_device_option
from benchmarks.cli.output import write_json, write_stdout
from engine.evaluation.model_source import PRECISIONS, RUNTIMES
from engine.processes.stop_signals import get_stop_code
from foundation.display_text import shorten_value
from tracking.video.request import SELECT, InitBox, TrackVideoRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    text = "a video file, a folder of images, or the index of a camera (0, 1 ...)"
    parser.add_argument("source", metavar="VIDEO|FOLDER|CAMERA", help=text)
    parser.add_argument(
        "--init", type=_parse_init, action="append", metavar="x,y,w,h",
        help="box of the target in the first frame, pixels, or select: draw it in a window; several targets: give it "
        "several times; default: that of the annotation in the folder",
    )  # fmt: skip
    # The tracker comes from --run, or from --checkpoint with --backbone. The request checks the combination, because
    # argparse has no such rule and Python callers need the same check.
    text = "folder of a finished tracking run, whose tracker is used; default: the small tracker that bench ships"
    parser.add_argument("--run", type=Path, metavar="RUN", help=text)
    text = "runtime of the tracker; default: that of the run if it is not torch, else the fastest installed, in f32"
    parser.add_argument("--runtime", choices=RUNTIMES, help=text)
    parser.add_argument("--precision", choices=PRECISIONS, help="precision of the runtime; default: f32")
    text = "instead of --run: a checkpoint of the OSTrack code"
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help=text)
    parser.add_argument("--backbone", help="the plain ViT in --checkpoint")
    text = (
        "crops and elimination for --checkpoint, if the file does not say them: ostrack256, ostrack256_ce, ostrack384"
    )
    parser.add_argument("--protocol", help=text)
    text = "index of the first frame, counted from 0"
    parser.add_argument("--start", type=parse_nonnegative_int, default=0, metavar="N", help=text)
    parser.add_argument("--frames", type=parse_positive_int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--lost-threshold", type=parse_finite, action="append", metavar="C",
        help="confidence (0 to 1) below which a frame is marked as possibly lost (docs/guides/track-your-video.md); "
        "once for all targets, or once for each",
    )  # fmt: skip
    parser.add_argument("--no-video", dest="video", action="store_false", help="do not write an annotated video")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results; default: runs/track/NAME, with a number if it exists",
    )
    add_device_option(parser)


def main(options: Namespace) -> int:
    """Track the targets and write a summary; the exit code is 130 if Ctrl-C ended it early, 143 if SIGTERM did."""
    # imported here: torch and OpenCV take seconds, and --device must be known before torch is imported
    from tracking.track_command import run_track_command

    report = run_track_command(make_track_request(options))
    if options.json:
        write_json(report.data | {"folder": str(report.folder)})
    else:
        write_stdout(report.text)
    return get_stop_code() if report.interrupted else 0


def make_track_request(options: Namespace) -> TrackVideoRequest:
    """Turn the options into a request."""
    return TrackVideoRequest(
        source=options.source,
        init_boxes=tuple(options.init or ()),
        run_dir=options.run,
        runtime=options.runtime,
        precision=options.precision,
        checkpoint=options.checkpoint,
        backbone=options.backbone,
        protocol=options.protocol,
        start_frame=options.start,
        max_frames=options.frames,
        lost_thresholds=tuple(options.lost_threshold or ()),
        write_video=options.video,
        out_dir=options.out,
        device=options.device,
        command_line=tuple(options.command_line),
    )


def _parse_init(text: str) -> InitBox:
    if text == SELECT:
        return SELECT
    try:
        box = tuple(parse_finite(word.strip()) for word in text.split(","))
    except argparse.ArgumentTypeError:
        box = ()
    # an empty box stands for text that is not a list of numbers
    if len(box) != 4:
        raise argparse.ArgumentTypeError(f"must be four numbers x,y,w,h, or {SELECT}, not {shorten_value(text)}")
    return box
