"""Export a trained tracker: graphs, calibration and parity with PyTorch, all written at once or not at all."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple

import torch

from deployment.export_folder import hash_files, is_export_outdated, require_export_place, write_export
from deployment.formats import FORMAT_BY_RUNTIME, RUNTIME_BY_FORMAT, ExportFormat, ExportRuntime
from deployment.manifest import MANIFEST_FILENAME, ExportOrigin, make_export_origin
from deployment.onnx_export import export_onnx
from deployment.runtimes import make_export_files, require_runtime
from engine.evaluation.model_source import Precision, Runtime
from engine.progress_bar import log_message
from engine.run_environment import collect_package_versions, utc_now
from foundation.errors import UserError
from foundation.files import ensure_writable_dir
from results.records.store import read_record
from tracking.data.pair import CropSizes
from tracking.deployment import calibration
from tracking.deployment.graph_network import build_exported_network
from tracking.deployment.graphs import build_export_graphs
from tracking.deployment.load import get_export_dir, require_tracker_runtime
from tracking.deployment.manifest import ManifestCropSizes, TrackerManifest, read_tracker_export
from tracking.deployment.parity import load_parity_videos, measure_parity, require_parity
from tracking.inference.backend import TorchNetwork, TrackerNetwork
from tracking.inference.run_files import list_weight_files, load_recipe, load_torch_factory
from tracking.models.tracker_model import TrackerModel


class ExportResult(NamedTuple):
    """An exported model: its folder and its manifest."""

    folder: Path
    manifest: TrackerManifest


def export_run(
    run_dir: Path, export_format: ExportFormat, precision: Precision, out_dir: Path | None = None
) -> ExportResult:
    """Export the tracker of a finished run to ``<format>-<precision>`` below ``out_dir``.

    Args:
        run_dir: folder of the run.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out_dir: folder for the export; by default the folder ``export`` of the run.

    Raises:
        UserError: the folder holds no finished tracking run, a package is missing, or the runtime lacks the precision.
        BenchError: the exported network does not compute what PyTorch computes; nothing was written.
    """
    record = read_record(run_dir)
    if record.domain != "tracking":
        raise UserError(
            f"{run_dir} is a {record.domain} run ({record.task}), and this exports trackers; use bench export, which "
            "knows every task"
        )
    # before the model is loaded, which takes longer
    require_runtime(RUNTIME_BY_FORMAT[export_format], precision)
    model, sizes = load_torch_factory(run_dir).load_model(), load_recipe(run_dir).crop_sizes()
    # the last weights, with which the run itself tracked
    origin = make_export_origin(record, list_weight_files(run_dir)[-1])
    return export_model(model, sizes, origin, export_format, precision, out_dir or run_dir / "export")


def export_model(
    model: TrackerModel,
    sizes: CropSizes,
    origin: ExportOrigin,
    export_format: ExportFormat,
    precision: Precision,
    out_dir: Path,
) -> ExportResult:
    """Export a network after comparing it with PyTorch.

    Args:
        model: the network.
        sizes: sizes of its crops.
        origin: the run that it comes from, for the manifest.
        export_format: see ``export_run``.
        precision: see ``export_run``.
        out_dir: folder in which the folder ``<format>-<precision>`` is written.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, or something else is in that place.
        BenchError: the exported network does not compute what PyTorch computes; nothing was written.
    """
    runtime = RUNTIME_BY_FORMAT[export_format]
    require_runtime(runtime, precision)
    ensure_writable_dir(out_dir)
    name = f"{export_format}-{precision}"
    require_export_place(out_dir / name)
    log_message(f"exporting {origin.backbone} as {name}")
    files = build_export_files(model, sizes, export_format, precision)
    threads = torch.get_num_threads()
    # loaded from the very bytes that are written below
    network = build_exported_network(files, runtime, precision, threads, model.backbone.search_grid)
    # a copy, since TorchNetwork and cpu() change the model of the caller
    reference = TorchNetwork(copy.deepcopy(model).cpu())
    parity = measure_parity(reference, network, sizes, load_parity_videos())
    require_parity(parity, precision, f"the {name} export of {origin.backbone}")
    manifest = TrackerManifest(
        format=export_format,
        runtime=runtime,
        precision=precision,
        origin=origin,
        sizes=ManifestCropSizes(**sizes._asdict()),
        grid=model.backbone.search_grid,
        outputs="best cell",
        # these two tell which graphs there are and what their inputs are
        asymmetric_attention=model.backbone.asymmetric_attention,
        use_ce=model.candidate_elimination is not None,
        files=hash_files(files),
        versions=collect_package_versions(),
        calibration=calibration.describe_calibration() if precision == "int8" else None,
        parity=parity,
        created=utc_now(),
    )
    write_export(out_dir / name, files, manifest)
    return ExportResult(out_dir / name, manifest)


def build_runtime_network(
    model: TrackerModel, sizes: CropSizes, runtime: Runtime, precision: Precision = "f32", threads: int = 1
) -> TrackerNetwork:
    """Build a network in a runtime for timing, without writing a folder or checking parity.

    Args:
        model: the network.
        sizes: sizes of its crops.
        runtime: ``torch``, ``onnxruntime`` or ``openvino``.
        precision: precision of the runtime.
        threads: number of threads for one call; torch keeps its own number.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, or something else is in that place.
    """
    require_tracker_runtime(runtime, precision)
    # no export is needed: the model itself is timed
    if runtime == "torch":
        return TorchNetwork(model)
    files = build_export_files(model, sizes, FORMAT_BY_RUNTIME[runtime], precision)
    return build_exported_network(files, runtime, precision, threads, model.backbone.search_grid)


def build_export_files(
    model: TrackerModel, sizes: CropSizes, export_format: ExportFormat, precision: Precision
) -> dict[str, bytes]:
    """Create the files of a network in a format and precision.

    Args:
        model: the network.
        sizes: sizes of its crops.
        export_format: ``onnx`` or ``openvino``.
        precision: ``f32``, ``bf16`` or ``int8``.

    Returns:
        The content of each file by its name.
    """
    # through ONNX for both formats, so that both compute the same graph
    models = {name: export_onnx(graph) for name, graph in build_export_graphs(model, precision).items()}
    # bf16 has f32 weights: the runtime converts them when it compiles the graphs
    if precision == "int8":
        models = calibration.quantize_graphs(models, sizes)
    return make_export_files(models, export_format)


def ensure_export(
    run_dir: Path, model: TrackerModel, sizes: CropSizes, runtime: ExportRuntime, precision: Precision
) -> Path:
    """Return the export of a run's last weights in the run's folder. It is made if it is missing or outdated.

    Args:
        run_dir: folder of the run.
        model: the trained network, with the run's last weights.
        sizes: sizes of its crops.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the runtime.

    Raises:
        BenchError: the exported network does not compute what PyTorch computes; nothing was written.
    """
    folder = get_export_dir(run_dir, runtime, precision)
    if _is_usable(run_dir, folder):
        return folder
    # called by a run that is still in progress: its record exists, but it is not complete yet
    origin = make_export_origin(read_record(run_dir), list_weight_files(run_dir)[-1])
    return export_model(model, sizes, origin, FORMAT_BY_RUNTIME[runtime], precision, folder.parent).folder


def _is_usable(run_dir: Path, folder: Path) -> bool:
    """Return whether an export can be read and holds the run's last weights."""
    if not (folder / MANIFEST_FILENAME).is_file():
        return False
    try:
        return not is_export_outdated(read_tracker_export(folder)[0], list_weight_files(run_dir)[-1])
    # a damaged export, or one of an older format, is simply made again
    except UserError as error:
        log_message(f"{error} (this is done now)")
        return False
