"""``bench track VIDEO|FOLDER|CAMERA``."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.cli.output import write_json, write_stdout
from tracking.video.request import TrackVideoRequest

INTERRUPTED_EXIT_CODE = 130


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
