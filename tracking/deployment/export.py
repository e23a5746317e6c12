"""Export a finished tracker: graphs, calibration, parity with PyTorch, and all of it written at once or not at all."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple

import torch

from deployment.export_folder import hash_files, is_export_outdated, write_export
from deployment.formats import FORMAT_BY_RUNTIME, RUNTIME_BY_FORMAT, ExportFormat, ExportRuntime, Precision
from deployment.manifest import MANIFEST_FILENAME, ExportOrigin, make_export_origin
from deployment.onnx_export import export_onnx
from deployment.runtimes import make_export_files, require_runtime
from engine.progress import log_message
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
from tracking.inference.options import Runtime
from tracking.inference.run_files import list_weight_files, load_recipe, load_torch_factory
from tracking.models.tracker_model import TrackerModel


class ExportResult(NamedTuple):
    """An exported model: its folder and what stands in it."""

    folder: Path
    manifest: TrackerManifest


def export_run(
    run_dir: Path, export_format: ExportFormat, precision: Precision, out_dir: Path | None = None
) -> ExportResult:
    """Export a finished run's tracker to ``<format>-<precision>`` below ``out_dir``.

    Args:
        run_dir: the run's folder.
        export_format: ``onnx`` (ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, where the CPU has it) or ``int8``.
        out_dir: default: the run's own folder ``export``.

    Raises:
        UserError: no finished tracking run, a package is missing, or the runtime lacks the precision.
        BenchError: the exported network is not PyTorch's; nothing was written.
    """
    record = read_record(run_dir)
    if record.domain != "tracking":
        raise UserError(
            f"{run_dir} is a {record.domain} run ({record.task}); only trackers can be exported, that is runs of "
            "lasot, mini_lasot and trackfolder"
        )
    require_runtime(RUNTIME_BY_FORMAT[export_format], precision)
    model, sizes = load_torch_factory(run_dir).load_model(), load_recipe(run_dir).crop_sizes()
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
    """Export a network; see ``export_run``."""
    runtime = RUNTIME_BY_FORMAT[export_format]
    require_runtime(runtime, precision)
    ensure_writable_dir(out_dir)
    name = f"{export_format}-{precision}"
    log_message(f"exporting {origin.backbone} as {name}")
    files = build_export_files(model, sizes, export_format, precision)
    threads = torch.get_num_threads()
    network = build_exported_network(files, runtime, precision, threads, model.backbone.search_grid)
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
    """A network behind a runtime at once, without a folder or a parity check: for timing."""
    require_tracker_runtime(runtime, precision)
    if runtime == "torch":
        return TorchNetwork(model)
    files = build_export_files(model, sizes, FORMAT_BY_RUNTIME[runtime], precision)
    return build_exported_network(files, runtime, precision, threads, model.backbone.search_grid)


def build_export_files(
    model: TrackerModel, sizes: CropSizes, export_format: ExportFormat, precision: Precision
) -> dict[str, bytes]:
    """The files of a network in a format and precision, by name."""
    models = {name: export_onnx(graph) for name, graph in build_export_graphs(model).items()}
    if precision == "int8":
        models = calibration.quantize_graphs(models, sizes)
    return make_export_files(models, export_format)


def ensure_export(
    run_dir: Path, model: TrackerModel, sizes: CropSizes, runtime: ExportRuntime, precision: Precision
) -> Path:
    """The export of a run's last weights in its own folder, made where it is not there or of other weights."""
    folder = get_export_dir(run_dir, runtime, precision)
    if _is_usable(run_dir, folder):
        return folder
    origin = make_export_origin(read_record(run_dir), list_weight_files(run_dir)[-1])
    return export_model(model, sizes, origin, FORMAT_BY_RUNTIME[runtime], precision, folder.parent).folder


def _is_usable(run_dir: Path, folder: Path) -> bool:
    if not (folder / MANIFEST_FILENAME).is_file():
        return False
    try:
        return not is_export_outdated(read_tracker_export(folder)[0], list_weight_files(run_dir)[-1])
    except UserError as error:
        log_message(f"{error}; this is done now")
        return False
