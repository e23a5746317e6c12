"""``bench export RUN``: export a trained tracker for another runtime."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_json, write_stdout
from deployment.formats import EXPORT_FORMATS
from engine.evaluation.model_source import PRECISIONS

# only for annotations: the module imports torch
if TYPE_CHECKING:
    from tracking.deployment.export import ExportResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("run", metavar="RUN", help="a finished tracking run: its folder or the start of its id")
    parser.add_argument("--format", choices=EXPORT_FORMATS, required=True, help="runtime to export for")
    parser.add_argument("--precision", choices=PRECISIONS, default="f32", help="precision of the computation")
    # None and not a path: the default depends on the run, which is found later
    text = "folder to export to; default: export/ in the folder of the run"
    parser.add_argument("--out", type=Path, metavar="DIR", help=text)
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Export one run and report the difference between its results and those of PyTorch."""
    # imported here, because torch takes seconds
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
    """Return the export as plain data."""
    return {"folder": str(exported.folder), "manifest": exported.manifest.model_dump(mode="json")}


def format_export(exported: ExportResult) -> str:
    """Describe the exported tracker and its difference from PyTorch."""
    # Two measurements: over a sequence small differences add up, because each crop depends on the last box; from the
    # same crops only the network itself differs
    manifest, parity = exported.manifest, exported.manifest.parity
    return "\n".join(
        [
            f"{manifest.origin.backbone} for {manifest.runtime} in {manifest.precision}: {exported.folder}",
            f"  compared with PyTorch in f32 on {parity.frames} frames of {parity.sequences} sequences: boxes differ "
            f"by up to {parity.box_px:.3g} px; from the same crops by up to {parity.same_crop_box_px:.3g} px, "
            f"mean IoU {parity.same_crop_iou:.4f}",
            f"  maps from the same crops: score {parity.score:.1e}, size {parity.size:.1e}, offset {parity.offset:.1e}",
            f"  licence {manifest.origin.licence}",
        ]
    )
