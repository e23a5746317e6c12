"""Export a finished tracker: graphs, calibration, parity with PyTorch, and all of it written at once or not at all."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from engine.progress import say
from engine.run_environment import package_versions, utc_now
from foundation.errors import UserError
from foundation.files import require_writable, sha256_file, write_atomic
from results.records.record import Record
from results.records.store import read_record
from tracking.data.pair import CropSizes
from tracking.deployment import int8, openvino
from tracking.deployment.graphs import graphs, to_onnx
from tracking.deployment.load import export_folder, graph_network, require_runtime, stale
from tracking.deployment.manifest import (
    FORMATS,
    MANIFEST,
    RUNTIMES,
    Format,
    Manifest,
    Origin,
    Precision,
    Runtime,
    Sizes,
)
from tracking.deployment.parity import compare, parity_videos, require_parity
from tracking.evaluate_run import load_recipe, saved_tracker, weight_files
from tracking.inference.backend import Network, TorchNetwork
from tracking.models.tracker_model import TrackerModel


class Exported(NamedTuple):
    """An exported model: its folder and what stands in it."""

    folder: Path
    manifest: Manifest


def export_run(run: Path, format_: Format, precision: Precision, out: Path | None = None) -> Exported:
    """Export a finished run's tracker to ``<format>-<precision>`` below ``out``.

    Args:
        run: the run's folder.
        format_: ``onnx`` (ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, where the CPU has it) or ``int8``.
        out: default: the run's own folder ``export``.

    Raises:
        UserError: no finished tracking run, a package is missing, or the runtime lacks the precision.
        BenchError: the exported network is not PyTorch's; nothing was written.
    """
    record = read_record(run)
    if record.domain != "tracking":
        raise UserError(
            f"{run} is a {record.domain} run ({record.task}); only trackers can be exported, that is runs of lasot, "
            "mini_lasot and trackfolder"
        )
    require_runtime(RUNTIMES[format_], precision)
    model, sizes = saved_tracker(run).model(), load_recipe(run).crop_sizes()
    return export_model(model, sizes, origin_of(run, record), format_, precision, out or run / "export")


def export_model(
    model: TrackerModel, sizes: CropSizes, origin: Origin, format_: Format, precision: Precision, out: Path
) -> Exported:
    """Export a network; see ``export_run``."""
    runtime = RUNTIMES[format_]
    require_runtime(runtime, precision)
    require_writable(out)
    name = f"{format_}-{precision}"
    say(f"exporting {origin.backbone} as {name}")
    files = files_of(model, sizes, format_, precision)
    threads = torch.get_num_threads()
    network = graph_network(files, runtime, precision, threads, model.backbone.search_grid)
    reference = TorchNetwork(copy.deepcopy(model).cpu())
    parity = compare(reference, network, sizes, parity_videos())
    require_parity(parity, precision, f"the {name} export of {origin.backbone}")
    manifest = Manifest(
        format=format_,
        runtime=runtime,
        precision=precision,
        origin=origin,
        sizes=Sizes(**sizes._asdict()),
        grid=model.backbone.search_grid,
        own_template=model.backbone.own,
        elimination=model.elimination is not None,
        files={file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        versions=package_versions(),
        calibration=int8.calibration() if precision == "int8" else None,
        parity=parity,
        created=utc_now(),
    )
    _write(out / name, files, manifest)
    return Exported(out / name, manifest)


def behind(
    model: TrackerModel, sizes: CropSizes, runtime: Runtime, precision: Precision = "f32", threads: int = 1
) -> Network:
    """A network behind a runtime at once, without a folder or a parity check: for timing."""
    require_runtime(runtime, precision)
    if runtime == "torch":
        return TorchNetwork(model)
    files = files_of(model, sizes, FORMATS[runtime], precision)
    return graph_network(files, runtime, precision, threads, model.backbone.search_grid)


def files_of(model: TrackerModel, sizes: CropSizes, format_: Format, precision: Precision) -> dict[str, bytes]:
    """The files of a network in a format and precision, by name."""
    models = {graph: to_onnx(parts) for graph, parts in graphs(model).items()}
    if precision == "int8":
        models = int8.quantised(models, sizes)
    if format_ == "onnx":
        return {f"{graph}.onnx": content for graph, content in models.items()}
    forms = {graph: openvino.to_openvino(content) for graph, content in models.items()}
    return {f"{graph}{suffix}": content for graph, form in forms.items() for suffix, content in form.items()}


def origin_of(run: Path, record: Record) -> Origin:
    """Whose weights the last ones of a run are."""
    return Origin(
        run_id=record.run_id,
        backbone=record.backbone.name,
        task=record.task,
        protocol=record.protocol,
        checkpoint_sha256=sha256_file(weight_files(run)[-1]),
        licence=licence_of(record),
    )


def licence_of(record: Record) -> str:
    """What the start weights demand of whoever passes the export on, as far as the record knows."""
    backbone = record.backbone
    if backbone.init == "random":
        return "of the start weights: none, the run started at random"
    if backbone.init == "card":
        return f"of the start weights: {(backbone.card['weights'] or {}).get('licence', 'unknown')}"
    source = backbone.checkpoint.uri if backbone.checkpoint else "a file"
    return f"of the start weights: unknown; they came from {Path(source).name}, whose terms hold"


def ensure_export(run: Path, model: TrackerModel, sizes: CropSizes, runtime: Runtime, precision: Precision) -> Path:
    """The export of a run's last weights in its own folder, made where it is not there or of other weights."""
    folder = export_folder(run, runtime, precision)
    if _usable(run, folder):
        return folder
    origin = origin_of(run, read_record(run))
    return export_model(model, sizes, origin, FORMATS[runtime], precision, folder.parent).folder


def _usable(run: Path, folder: Path) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        return not stale(run, folder)
    except UserError as error:
        say(f"{error}; this is done now")
        return False


def _write(folder: Path, files: Mapping[str, bytes], manifest: Manifest) -> None:
    """A folder that is whole or not there; an older one of its name makes place."""
    half = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            write_atomic(half / name, content)
        write_atomic(half / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
        mask = os.umask(0)
        os.umask(mask)
        half.chmod(0o777 & ~mask)
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
