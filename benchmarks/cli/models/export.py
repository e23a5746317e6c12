"""``bench export RUN``: export the trained model of a run for another runtime."""

from __future__ import annotations

import argparse
import re
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_json, write_stdout
from deployment.formats import EXPORT_FORMATS
from engine.evaluation.model_source import PRECISIONS

# only for annotations: the modules import pydantic, and torch
if TYPE_CHECKING:
    from benchmarks.evaluation.export_run import ExportedRun
    from deployment.images.image_manifest import ImageManifest
    from detection.deployment.manifest import DetectorManifest
    from tracking.deployment.manifest import TrackerManifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("run", metavar="RUN", help="a finished run: its folder or the start of its id")
    text = "runtime to export for; ostrack writes a tracker's weights in the layout of OSTrack's code"
    parser.add_argument("--format", choices=(*EXPORT_FORMATS, "ostrack"), required=True, help=text)
    parser.add_argument("--precision", choices=PRECISIONS, default="f32", help="precision of the computation")
    text = "input of a segmentor: height and width in pixels, or dynamic; default: the windows of the run"
    parser.add_argument("--size", type=parse_export_size, metavar="HxW", help=text)
    text = "let a segmentor return the class of every pixel and no logits"
    parser.add_argument("--argmax", action="store_true", help=text)
    text = "folder of the run's data, to calibrate int8 on its training images; default: embedded photographs"
    parser.add_argument("--data-root", type=Path, metavar="DIR", help=text)
    # None and not a path: the default depends on the run, which is found later
    text = "folder to export to; default: export/ in the folder of the run"
    parser.add_argument("--out", type=Path, metavar="DIR", help=text)
    add_runs_option(parser)


def parse_export_size(text: str) -> tuple[int, int] | Literal["dynamic"]:
    """Parse ``dynamic``, or height and width such as ``512x683``.

    Raises:
        argparse.ArgumentTypeError: the text is anything else.
    """
    if text == "dynamic":
        return "dynamic"
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be dynamic, or height x width such as 512x512, not {text!r}")
    return int(found[1]), int(found[2])


def main(options: Namespace) -> int:
    """Export one run and report the difference between its results and those of PyTorch."""
    # imported here, because pydantic takes a moment and torch takes seconds
    from benchmarks.evaluation.export_run import ExportRequest, export_run
    from benchmarks.find_run import find_run

    run, record = find_run(options.run, options.runs)
    request = ExportRequest(
        options.format, options.precision, options.out, options.size, options.argmax, options.data_root
    )
    exported = export_run(run, record, request)
    if options.json:
        write_json(export_to_dict(exported))
    else:
        write_stdout(format_export(exported))
    return 0


def export_to_dict(exported: ExportedRun) -> dict[str, Any]:
    """Return the export as plain data."""
    manifest = exported.manifest
    if manifest is None:
        return {"file": str(exported.path)}
    return {"folder": str(exported.path), "manifest": manifest.model_dump(mode="json")}


def format_export(exported: ExportedRun) -> str:
    """Describe the exported model and its difference from PyTorch."""
    from detection.deployment.manifest import DetectorManifest
    from tracking.deployment.manifest import TrackerManifest

    manifest = exported.manifest
    if manifest is None:
        return f"weights for OSTrack's code: {exported.path}"
    if isinstance(manifest, TrackerManifest):
        lines = _describe_tracker(manifest)
    elif isinstance(manifest, DetectorManifest):
        lines = _describe_detector(manifest)
    else:
        lines = _describe_image_model(manifest)
    return "\n".join(
        [
            f"{manifest.origin.backbone} for {manifest.runtime} in {manifest.precision}: {exported.path}",
            *(f"  {line}" for line in lines),
            f"  licence {manifest.origin.licence}",
        ]
    )


def _describe_tracker(manifest: TrackerManifest) -> list[str]:
    # Two measurements: over a sequence small differences add up, because each crop depends on the last box; from the
    # same crops only the network itself differs
    parity = manifest.parity
    return [
        f"compared with PyTorch in f32 on {parity.frames} frames of {parity.sequences} sequences: boxes differ "
        f"by up to {parity.box_px:.3g} px; from the same crops by up to {parity.same_crop_box_px:.3g} px, "
        f"mean IoU {parity.same_crop_iou:.4f}",
        f"maps from the same crops: score {parity.score:.1e}, size {parity.size:.1e}, offset {parity.offset:.1e}",
    ]


def _describe_detector(manifest: DetectorManifest) -> list[str]:
    parity, graphs = manifest.parity, manifest.list_graph_names()
    return [
        f"detector: {len(graphs)} graphs ({', '.join(graphs)}) for images of {manifest.size} x {manifest.size} px; "
        "proposals, pooling, the choice of boxes and the pasting of masks are not in them",
        f"compared with PyTorch in f32 on {parity.images} images ({parity.source}): outputs differ by up to "
        f"{max(parity.difference.values()):.1e} of the largest, and {100 * parity.agreement:.2f} % of "
        f"{parity.detections} detections are equal",
    ]


def _describe_image_model(manifest: ImageManifest) -> list[str]:
    facts, parity, calibration = manifest.facts, manifest.parity, manifest.calibration
    size = "images of any size" if facts.dynamic_size else f"images of {manifest.size[0]} x {manifest.size[1]} px"
    if facts.dynamic_size and facts.size_divisor != [1, 1]:
        size = f"images with sides that are multiples of {facts.size_divisor[0]} and {facts.size_divisor[1]} px"
    unit = "classes" if facts.kind == "classifier" else "pixels"
    logits = (
        f"; logits differ by up to {parity.difference:.2g} (the largest is {parity.scale:.3g})"
        if parity.difference is not None and parity.scale is not None
        else ""
    )
    lines = [
        f"{facts.kind}: {size} to {facts.output} of {facts.num_classes} classes",
        f"compared with PyTorch in f32 on {parity.images} images ({parity.source}): "
        f"{100 * parity.agreement:.2f} % of the {unit} are equal{logits}",
    ]
    if calibration is not None:
        lines.append(f"calibrated on {calibration.samples} images ({calibration.source}), seed {calibration.seed}")
    return lines
