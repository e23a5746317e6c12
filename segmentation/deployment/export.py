"""Export a finished segmentor: that of a run, or of a config of mmseg."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat
from deployment.image_models import ImageExport, export_image_model
from deployment.images.image_manifest import ImageModelOutput
from deployment.images.image_sets import ExportImages
from deployment.manifest import ExportOrigin, make_export_origin
from deployment.runtimes import require_runtime
from engine.data.item_limits import read_limit
from engine.evaluation.model_source import ModelSource, Precision
from foundation.errors import DataError
from results.records.record import Record
from segmentation.as_is.evaluation import open_segmentor
from segmentation.as_is.finished_model import FinishedSegmentor
from segmentation.as_is.run_source import find_run_weights
from segmentation.as_is.settings import SegmentationSettings
from segmentation.deployment.runtime_network import describe_segmentor, round_size, wrap_segmentor
from segmentation.deployment.training_crops import draw_training_crops
from segmentation.models.sliding_window import Size
from segmentation.tasks import ADE20K, CAMVID, MINI_ADE, SEGFOLDER, SegmentationTask

ExportSize = Size | Literal["dynamic"] | None
"""Height and width of the input in pixels, or any size; ``None`` is the size of the model's windows."""

_TASKS: dict[str, SegmentationTask] = {task.name: task for task in (ADE20K, CAMVID, MINI_ADE, SEGFOLDER)}


def export_run(
    run_dir: Path,
    export_format: ExportFormat,
    precision: Precision,
    out_dir: Path | None = None,
    *,
    size: ExportSize = None,
    output: ImageModelOutput = "logits",
    data_root: Path | None = None,
) -> ImageExport:
    """Export the tested weights of a finished segmentation run to ``<format>-<precision>`` below ``out_dir``.

    Args:
        run_dir: folder of the run.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out_dir: folder for the export; by default the folder ``export`` of the run.
        size: size of the input; by default that of the run's windows.
        output: ``logits``, or ``labels`` for the class of every pixel.
        data_root: folder of the data that the run was trained on, to calibrate int8 on crops of its training images;
            without it embedded photographs are taken. ``mini_ade`` is made on this machine and needs none.

    Raises:
        UserError: the folder holds no such run, its data are others, the runtime or precision is missing, or the model
            cannot be written with that size.
        CheckpointError: the tested weights are missing or damaged.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    # before the model is loaded, which takes longer
    require_runtime(RUNTIME_BY_FORMAT[export_format], precision)
    source = ModelSource(run=run_dir, device="cpu")
    segmentor = open_segmentor(source, SegmentationSettings(), "cpu")
    record, weights_file = find_run_weights(source)
    window = size if isinstance(size, tuple) else segmentor.input_size
    images = None
    if precision == "int8" and (data_root is not None or record.task == MINI_ADE.name):
        images = _draw_run_crops(segmentor, record, data_root or Path(), window)
    return export_segmentor(
        segmentor,
        export_format,
        precision,
        out_dir or run_dir / "export",
        origin=make_export_origin(record, weights_file),
        size=size,
        output=output,
        images=images,
    )


def export_segmentor(
    segmentor: FinishedSegmentor,
    export_format: ExportFormat,
    precision: Precision,
    out_dir: Path,
    *,
    origin: ExportOrigin,
    size: ExportSize = None,
    output: ImageModelOutput = "logits",
    images: ExportImages | None = None,
) -> ImageExport:
    """Export any finished segmentor to ``<format>-<precision>`` below ``out_dir``.

    Sliding windows, and resizing to the size of the label files, stay outside of the graph.

    Args:
        segmentor: the opened segmentor.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out_dir: folder for the export.
        origin: where the weights come from, see ``runtime_network.make_segmentor_origin``.
        size: size of the input; by default that of the model's windows.
        output: ``logits``, or ``labels`` for the class of every pixel.
        images: to calibrate int8 on and to compare with PyTorch on; embedded photographs by default.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, or the model cannot be written with that size.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    facts = describe_segmentor(segmentor, output=output, dynamic_size=size == "dynamic")
    example = size if isinstance(size, tuple) else segmentor.input_size
    if facts.dynamic_size:
        example = round_size(example, segmentor.windows.divisor)
    return export_image_model(
        wrap_segmentor(segmentor, facts),
        facts,
        export_format=export_format,
        precision=precision,
        out=out_dir,
        origin=origin,
        example=torch.zeros(1, 3, *example),
        calibration=images.calibration if images else None,
        parity_images=images.parity if images else None,
    )


def _draw_run_crops(segmentor: FinishedSegmentor, record: Record, root: Path, size: Size) -> ExportImages | None:
    """Return crops of the images that a run was trained on.

    Raises:
        DataError: the data are not those of the run.
    """
    task = _TASKS.get(record.task)
    if task is None:
        return None
    # a record has the fingerprint of the complete data, also where its tier takes a part of the items
    if task.check_data(root).fingerprint != record.data.fingerprint:
        raise DataError(
            f"the data of {task.name} in {root} are not those that the run was trained on (their fingerprints differ); "
            "name the folder of its data, or leave --data-root out to calibrate on photographs"
        )
    found = task.find_dataset(root).limit_items(read_limit(record.config.get("recipe")))
    return draw_training_crops(segmentor, [pair.image_path for pair in found.splits["train"]], size, task.name)
