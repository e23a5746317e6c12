"""``bench track VIDEO|FOLDER|CAMERA``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_device_option, parse_nonnegative_int, parse_positive_int
from benchmarks.cli.output import write_json, write_stdout
from deployment.formats import PRECISIONS
from tracking.inference.options import RUNTIMES
from tracking.video.request import TrackVideoRequest

INTERRUPTED_EXIT_CODE = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("source", metavar="VIDEO|FOLDER|CAMERA", help="a camera by its number: 0, 1 ...")
    parser.add_argument(
        "--init", type=_parse_box, metavar="x,y,w,h",
        help="the target's box in the first frame, pixels; default: of the folder's groundtruth.txt",
    )  # fmt: skip
    parser.add_argument("--run", type=Path, metavar="RUN", help="folder of a finished tracking run")
    parser.add_argument("--runtime", choices=RUNTIMES, help="of --run; default: what it was tracked with")
    parser.add_argument("--precision", choices=PRECISIONS, help="of the runtime; default: f32")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="or: a checkpoint of OSTrack's code")
    parser.add_argument("--backbone", help="the plain ViT of --checkpoint")
    parser.add_argument("--protocol", help="the crops of --checkpoint: ostrack256 (default), ostrack256_ce, ostrack384")
    parser.add_argument(
        "--start", type=parse_nonnegative_int, default=0, metavar="N", help="number of the first frame, from 0"
    )
    parser.add_argument("--frames", type=parse_positive_int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--lost-threshold", type=float, metavar="C",
        help="confidence, 0 to 1, below which the target may be lost (docs/guides/track-your-video.md)",
    )  # fmt: skip
    parser.add_argument("--no-video", dest="video", action="store_false", help="make no annotated video")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results; default: runs/track/NAME, numbered if it is there",
    )
    add_device_option(parser)


def main(options: Namespace) -> int:
    """Track, and write to stdout what was found; 130 if Ctrl-C ended it early (what was tracked is kept)."""
    from tracking.track_command import run_track_command

    report = run_track_command(make_track_request(options))
    if options.json:
        write_json(report.data | {"folder": str(report.folder)})
    else:
        write_stdout(report.text)
    return INTERRUPTED_EXIT_CODE if report.interrupted else 0


def make_track_request(options: Namespace) -> TrackVideoRequest:
    """The request that the options make."""
    return TrackVideoRequest(
        source=options.source,
        init_box=options.init,
        run_dir=options.run,
        runtime=options.runtime,
        precision=options.precision,
        checkpoint=options.checkpoint,
        backbone=options.backbone,
        protocol=options.protocol,
        start_frame=options.start,
        max_frames=options.frames,
        lost_threshold=options.lost_threshold,
        write_video=options.video,
        out_dir=options.out,
        device=options.device,
        command_line=tuple(options.command_line),
    )


def _parse_box(text: str) -> tuple[float, ...]:
    try:
        box = tuple(float(word) for word in text.split(","))
    except ValueError:
        box = ()
    if len(box) != 4:
        raise argparse.ArgumentTypeError(f"must be four numbers x,y,w,h, not {text!r}")
    return box
