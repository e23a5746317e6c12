"""Export a classifier: that of a finished run, or any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classification.deployment.trained_classifier import load_trained_classifier
from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat
from deployment.image_manifest import ImageModelFacts
from deployment.image_models import ImageExport, export_image_model
from deployment.image_sets import ImageSet
from deployment.manifest import ExportOrigin, make_export_origin
from deployment.runtimes import require_runtime
from engine.evaluation.model_source import Precision


def export_run(
    run_dir: Path,
    export_format: ExportFormat,
    precision: Precision,
    out_dir: Path | None = None,
    *,
    data_root: Path | None = None,
) -> ImageExport:
    """Export the tested weights of a finished fine-tuning run to ``<format>-<precision>`` below ``out_dir``.

    Args:
        run_dir: folder of the run.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out_dir: folder for the export; by default the folder ``export`` of the run.
        data_root: folder of the run's data, for the names of the classes and the images of int8; without it the names
            are left out, and embedded photographs are taken. Digits need none.

    Raises:
        UserError: the folder holds no such run, its data are others, or the runtime or precision is missing.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    require_runtime(RUNTIME_BY_FORMAT[export_format], precision)
    trained = load_trained_classifier(run_dir)
    data = trained.load_data(data_root)
    return export_classifier(
        trained.model,
        trained.img_size,
        export_format=export_format,
        precision=precision,
        out=out_dir or run_dir / "export",
        origin=make_export_origin(trained.record, trained.weights_file),
        facts=trained.describe(data.class_names if data else ()),
        calibration=data.calibration if data else None,
        parity_images=data.parity if data else None,
    )


def export_classifier(
    model: nn.Module,
    img_size: int | tuple[int, int],
    *,
    export_format: ExportFormat,
    precision: Precision,
    out: Path,
    origin: ExportOrigin,
    facts: ImageModelFacts,
    calibration: ImageSet | None = None,
    parity_images: ImageSet | None = None,
) -> ImageExport:
    """Export any finished classifier to ``<format>-<precision>`` below a folder.

    Args:
        model: maps normalized images (N, 3, H, W) to logits (N, classes); it is not changed.
        img_size: side, or height and width, of the input, pixels.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out: folder in which the folder of the export is written.
        origin: where the weights come from.
        facts: what a user has to know, see ``describe_classifier``.
        calibration: training images for int8; embedded photographs by default.
        parity_images: images to compare with PyTorch on; embedded photographs by default.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, or the model cannot be written as ONNX.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    return export_image_model(
        model,
        facts,
        export_format=export_format,
        precision=precision,
        out=out,
        origin=origin,
        example=torch.zeros(1, 3, *size),
        calibration=calibration,
        parity_images=parity_images,
    )


def describe_classifier(
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    preprocessing: dict[str, Any],
    class_names: Sequence[str] = (),
) -> ImageModelFacts:
    """Return the facts of a classifier for its manifest.

    Args:
        num_classes: number of logits.
        mean: mean of each channel, for pixels in 0 to 1.
        std: standard deviation of each channel, for pixels in 0 to 1.
        preprocessing: how an image becomes pixels (``crop_pct``, ``interpolation`` and so on).
        class_names: name of each class, by class index; empty if they are not known.
    """
    return ImageModelFacts(
        kind="classifier",
        num_classes=num_classes,
        class_names=list(class_names),
        mean=[float(value) for value in mean],
        std=[float(value) for value in std],
        preprocessing=preprocessing,
    )
