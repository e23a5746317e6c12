"""Export a finished tracker: graphs, calibration, parity with PyTorch, and all of it written at once or not at all."""

from __future__ import annotations

import copy
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from engine.progress import log_message
from engine.run_environment import collect_package_versions, utc_now
from foundation.errors import UserError
from foundation.files import ensure_writable_dir, grant_default_mode, sha256_file, write_atomic
from results.records.record import Record
from results.records.store import read_record
from tracking.data.pair import CropSizes
from tracking.deployment import int8, openvino
from tracking.deployment.graphs import build_export_graphs, export_onnx
from tracking.deployment.load import build_exported_network, get_export_dir, is_export_outdated, require_runtime
from tracking.deployment.manifest import (
    FORMAT_BY_RUNTIME,
    MANIFEST_FILENAME,
    RUNTIME_BY_FORMAT,
    ExportFormat,
    ExportManifest,
    ExportOrigin,
    ManifestCropSizes,
    Precision,
    Runtime,
)
from tracking.deployment.parity import load_parity_videos, measure_parity, require_parity
from tracking.evaluate_run import list_weight_files, load_recipe, load_torch_factory
from tracking.inference.backend import TorchNetwork, TrackerNetwork
from tracking.models.tracker_model import TrackerModel


class ExportResult(NamedTuple):
    """An exported model: its folder and what stands in it."""

    folder: Path
    manifest: ExportManifest


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
    return export_model(
        model, sizes, get_export_origin(run_dir, record), export_format, precision, out_dir or run_dir / "export"
    )


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
    manifest = ExportManifest(
        format=export_format,
        runtime=runtime,
        precision=precision,
        origin=origin,
        sizes=ManifestCropSizes(**sizes._asdict()),
        grid=model.backbone.search_grid,
        asymmetric_attention=model.backbone.asymmetric_attention,
        candidate_elimination=model.candidate_elimination is not None,
        files={file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        versions=collect_package_versions(),
        calibration=int8.describe_calibration() if precision == "int8" else None,
        parity=parity,
        created=utc_now(),
    )
    _write_export(out_dir / name, files, manifest)
    return ExportResult(out_dir / name, manifest)


def build_runtime_network(
    model: TrackerModel, sizes: CropSizes, runtime: Runtime, precision: Precision = "f32", threads: int = 1
) -> TrackerNetwork:
    """A network behind a runtime at once, without a folder or a parity check: for timing."""
    require_runtime(runtime, precision)
    if runtime == "torch":
        return TorchNetwork(model)
    files = build_export_files(model, sizes, FORMAT_BY_RUNTIME[runtime], precision)
    return build_exported_network(files, runtime, precision, threads, model.backbone.search_grid)


def build_export_files(
    model: TrackerModel, sizes: CropSizes, export_format: ExportFormat, precision: Precision
) -> dict[str, bytes]:
    """The files of a network in a format and precision, by name."""
    models = {graph: export_onnx(parts) for graph, parts in build_export_graphs(model).items()}
    if precision == "int8":
        models = int8.quantize_graphs(models, sizes)
    if export_format == "onnx":
        return {f"{graph}.onnx": content for graph, content in models.items()}
    forms = {graph: openvino.convert_to_openvino(content) for graph, content in models.items()}
    return {f"{graph}{suffix}": content for graph, form in forms.items() for suffix, content in form.items()}


def get_export_origin(run_dir: Path, record: Record) -> ExportOrigin:
    """Whose weights the last ones of a run are."""
    return ExportOrigin(
        run_id=record.run_id,
        backbone=record.backbone.name,
        task=record.task,
        protocol=record.protocol,
        checkpoint_sha256=sha256_file(list_weight_files(run_dir)[-1]),
        licence=describe_license(record),
    )


def describe_license(record: Record) -> str:
    """What the start weights demand of whoever passes the export on, as far as the record knows."""
    backbone = record.backbone
    if backbone.init == "random":
        return "of the start weights: none, the run started at random"
    if backbone.init == "card":
        return f"of the start weights: {(backbone.card['weights'] or {}).get('licence', 'unknown')}"
    source = backbone.checkpoint.uri if backbone.checkpoint else "a file"
    return f"of the start weights: unknown; they came from {Path(source).name}, whose terms hold"


def ensure_export(run_dir: Path, model: TrackerModel, sizes: CropSizes, runtime: Runtime, precision: Precision) -> Path:
    """The export of a run's last weights in its own folder, made where it is not there or of other weights."""
    folder = get_export_dir(run_dir, runtime, precision)
    if _is_usable(run_dir, folder):
        return folder
    origin = get_export_origin(run_dir, read_record(run_dir))
    return export_model(model, sizes, origin, FORMAT_BY_RUNTIME[runtime], precision, folder.parent).folder


def _is_usable(run_dir: Path, folder: Path) -> bool:
    if not (folder / MANIFEST_FILENAME).is_file():
        return False
    try:
        return not is_export_outdated(run_dir, folder)
    except UserError as error:
        log_message(f"{error}; this is done now")
        return False


def _write_export(folder: Path, files: Mapping[str, bytes], manifest: ExportManifest) -> None:
    """A folder that is whole or not there; an older one of its name makes place."""
    half = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            write_atomic(half / name, content)
        write_atomic(half / MANIFEST_FILENAME, manifest.model_dump_json(indent=2) + "\n")
        grant_default_mode(half)
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent)) / "old"
            folder.rename(old)
            half.rename(folder)
            shutil.rmtree(old.parent)
        else:
            half.rename(folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
