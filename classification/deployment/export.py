"""Export a finished classifier: that of a fine-tuning run, of timm, or of a file."""

from __future__ import annotations

from pathlib import Path

import torch

from classification.as_is.finished_classifier import FinishedClassifier, open_classifier
from classification.deployment.runtime_network import (
    describe_classifier,
    draw_export_images,
    load_digits_images,
    make_classifier_origin,
)
from classification.image_tasks import IMAGE_TASKS
from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat
from deployment.image_models import ImageExport, export_image_model
from deployment.images.image_sets import ExportImages
from deployment.runtimes import require_runtime
from engine.evaluation.model_source import ModelSource, Precision
from foundation.errors import DataError, UserError


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
        data_root: see ``export_classifier``.

    Raises:
        UserError: the folder holds no such run, its data are others, or the runtime or precision is missing.
        CheckpointError: the tested weights are missing or damaged.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    # before the model is loaded, which takes longer
    require_runtime(RUNTIME_BY_FORMAT[export_format], precision)
    classifier = open_classifier(ModelSource(run=run_dir))
    return export_classifier(classifier, export_format, precision, out_dir or run_dir / "export", data_root=data_root)


def export_classifier(
    classifier: FinishedClassifier,
    export_format: ExportFormat,
    precision: Precision,
    out_dir: Path,
    *,
    data_root: Path | None = None,
) -> ImageExport:
    """Export any finished classifier to ``<format>-<precision>`` below ``out_dir``.

    Args:
        classifier: the opened classifier.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out_dir: folder for the export.
        data_root: folder of the data that a run was trained on: int8 is calibrated on its training images, and the
            comparison with PyTorch takes its validation images. Without it both take embedded photographs; digits come
            with scikit-learn and need none.

    Raises:
        UserError: the data are others, a package is missing, the runtime lacks the precision, or the model cannot be
            written as ONNX.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    names, images = _load_run_images(classifier, data_root) if data_root else ((), load_digits_images(classifier))
    return export_image_model(
        classifier.model,
        describe_classifier(classifier, names),
        export_format=export_format,
        precision=precision,
        out=out_dir,
        origin=make_classifier_origin(classifier),
        example=torch.zeros(1, 3, *classifier.preprocessing.img_size),
        calibration=images.calibration if images else None,
        parity_images=images.parity if images else None,
    )


def _load_run_images(classifier: FinishedClassifier, data_root: Path) -> tuple[tuple[str, ...], ExportImages | None]:
    """Return class names and images of the data that a run was trained on.

    Raises:
        UserError: the model is no run of a task with images in a folder.
        DataError: the data are not those of the run.
    """
    run = classifier.run
    if run is not None and run.record.task not in IMAGE_TASKS:
        return (), load_digits_images(classifier)
    if run is None:
        raise UserError("--data-root is the folder of a run's data; leave it out for a model that bench did not train")
    record, task = run.record, IMAGE_TASKS[run.record.task]
    data = task.load_data(data_root)
    # a record has the fingerprint of the complete data, also where its tier takes a part of the items
    if record.data.fingerprint != data.fingerprint:
        raise DataError(
            f"the data of {task.name} in {data_root} are not those that the run was trained on (their fingerprints "
            "differ); name the folder of its data, or leave --data-root out to calibrate on photographs"
        )
    side = classifier.preprocessing.img_size[0]
    train, val = (task.load_images(data_root, split, classifier.card, side) for split in ("train", "val"))
    return tuple(data.class_names), draw_export_images(train, val, task.name)
