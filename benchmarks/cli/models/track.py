"""``bench track VIDEO|FOLDER|CAMERA``."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.cli.output import write_json, write_stdout

INTERRUPTED_EXIT_CODE = 130


def main(options: Namespace) -> int:
    """Track, and write to stdout what was found; 130 if Ctrl-C ended it early (what was tracked is kept)."""
    from tracking.track_command import run_track_command

    report = run_track_command(options)
    if options.json:
        write_json(report.data | {"folder": str(report.folder)})
    else:
        write_stdout(report.text)
    return INTERRUPTED_EXIT_CODE if report.interrupted else 0
