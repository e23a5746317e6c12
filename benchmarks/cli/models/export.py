"""``bench export RUN``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_json, write_stdout
from deployment.formats import EXPORT_FORMATS, PRECISIONS

if TYPE_CHECKING:
    from tracking.deployment.export import ExportResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("run", metavar="RUN", help="a finished tracking run: its folder or the start of its id")
    parser.add_argument("--format", choices=EXPORT_FORMATS, required=True, help="for which runtime")
    parser.add_argument("--precision", choices=PRECISIONS, default="f32", help="of the computation")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to; default: the run's own folder export")
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Export one run and say how far it is from PyTorch."""
    from benchmarks.find_run import find_run
    from tracking.deployment.export import export_run

    run, _ = find_run(options.run, options.runs)
    exported = export_run(run, options.format, options.precision, options.out)
    if options.json:
        write_json(export_to_dict(exported))
    else:
        write_stdout(format_export(exported))
    return 0


def export_to_dict(exported: ExportResult) -> dict[str, Any]:
    """The export as plain data."""
    return {"folder": str(exported.folder), "manifest": exported.manifest.model_dump(mode="json")}


def format_export(exported: ExportResult) -> str:
    """What was made, and its distance from PyTorch."""
    manifest, parity = exported.manifest, exported.manifest.parity
    return "\n".join(
        [
            f"{manifest.origin.backbone} for {manifest.runtime} in {manifest.precision}: {exported.folder}",
            f"  against PyTorch in f32, {parity.frames} frames of {parity.sequences} sequences: boxes differ by up to "
            f"{parity.box_px:.3g} px; from the same crops by up to {parity.same_crop_box_px:.3g} px, "
            f"mean IoU {parity.same_crop_iou:.4f}",
            f"  maps from the same crops: score {parity.score:.1e}, size {parity.size:.1e}, offset {parity.offset:.1e}",
            f"  licence {manifest.origin.licence}",
        ]
    )
