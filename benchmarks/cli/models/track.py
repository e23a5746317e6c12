"""``bench track VIDEO|FOLDER|CAMERA``."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.cli.output import write, write_json

INTERRUPTED = 130


def main(options: Namespace) -> int:
    """Track, and write to stdout what was found; 130 if Ctrl-C ended it early (what was tracked is kept)."""
    from tracking.track_command import track

    report = track(options)
    if options.json:
        write_json(report.data | {"folder": str(report.folder)})
    else:
        write(report.text)
    return INTERRUPTED if report.interrupted else 0
