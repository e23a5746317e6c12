"""Export a segmentor: that of a finished run, or any other of mmseg's kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbones.features import get_size_divisor
from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat, ExportRuntime
from deployment.image_manifest import ImageModelFacts, ImageModelOutput
from deployment.image_models import ImageExport, RuntimeNetwork, build_runtime_network, export_image_model
from deployment.image_sets import ImageSet
from deployment.manifest import ExportOrigin, make_export_origin
from deployment.runtimes import require_runtime
from engine.evaluation.model_source import Precision
from segmentation.deployment.trained_segmentor import load_trained_segmentor

ExportSize = tuple[int, int] | Literal["dynamic"] | None
"""Height and width of the input in pixels, any size, or the size of the model's window."""


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
        size: size of the input; the run's crop by default.
        output: ``logits``, or ``labels`` for the argmax inside.
        data_root: folder of the run's data, for the names of the classes and the images of int8; without it the names
            are left out, and embedded photographs are taken. ``mini_ade`` needs none.

    Raises:
        UserError: the folder holds no such run, its data are others, the runtime or precision is missing, or the model
            cannot be written with that size.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    require_runtime(RUNTIME_BY_FORMAT[export_format], precision)
    trained = load_trained_segmentor(run_dir)
    crop = (trained.recipe.crop, trained.recipe.crop)
    window = size if isinstance(size, tuple) else crop
    data = trained.load_data(data_root, window)
    return export_segmentor(
        trained.model,
        window,
        export_format=export_format,
        precision=precision,
        out=out_dir or run_dir / "export",
        origin=make_export_origin(trained.record, trained.weights_file),
        facts=describe_segmentor(
            trained.model,
            trained.num_classes,
            trained.card.mean,
            trained.card.std,
            class_names=data.class_names if data else (),
            preprocessing=trained.recipe.test.model_dump(mode="json"),
            output=output,
            dynamic_size=size == "dynamic",
        ),
        calibration=data.calibration if data else None,
        parity_images=data.parity if data else None,
    )


def export_segmentor(
    model: nn.Module,
    size: tuple[int, int],
    *,
    export_format: ExportFormat,
    precision: Precision,
    out: Path,
    origin: ExportOrigin,
    facts: ImageModelFacts,
    calibration: ImageSet | None = None,
    parity_images: ImageSet | None = None,
) -> ImageExport:
    """Export any segmentor of mmseg's kind to ``<format>-<precision>`` below a folder.

    Sliding windows and resizing to the size of the labels stay outside of the graph.

    Args:
        model: an ``EncoderDecoder`` of mmseg, ours included; it is not changed.
        size: height and width of the input, pixels; of a dynamic size those that it is traced with.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out: folder in which the folder of the export is written.
        origin: where the weights come from.
        facts: what a user has to know, see ``describe_segmentor``.
        calibration: training images for int8; embedded photographs by default.
        parity_images: images to compare with PyTorch on; embedded photographs by default.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, or the model cannot be written with that size.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    return export_image_model(
        SegmentorModule(model, facts.dynamic_size),
        facts,
        export_format=export_format,
        precision=precision,
        out=out,
        origin=origin,
        example=torch.zeros(1, 3, *_round_size(size, facts)),
        calibration=calibration,
        parity_images=parity_images,
    )


def build_window_network(
    model: nn.Module,
    size: tuple[int, int],
    *,
    runtime: ExportRuntime,
    precision: Precision,
    out: Path,
    origin: ExportOrigin,
    facts: ImageModelFacts,
    calibration: ImageSet | None = None,
    parity_images: ImageSet | None = None,
    threads: int | None = None,
) -> RuntimeNetwork:
    """Put an exported segmentor in the place of PyTorch's: images (N, 3, H, W) to logits (N, classes, H, W).

    The export is taken from below ``out`` if it is there, else made.

    Args:
        model: an ``EncoderDecoder`` of mmseg, ours included; it is not changed.
        size: height and width of the windows, pixels.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the computation.
        out: folder in which the folder of the export is, or is written.
        origin: where the weights come from.
        facts: see ``describe_segmentor``.
        calibration: training images for int8; embedded photographs by default.
        parity_images: images to compare with PyTorch on; embedded photographs by default.
        threads: number of threads for one call; by default as many as torch uses.

    Raises:
        UserError: see ``export_segmentor``.
        BenchError: see ``export_segmentor``.
    """
    return build_runtime_network(
        SegmentorModule(model, facts.dynamic_size),
        facts,
        runtime=runtime,
        precision=precision,
        out=out,
        origin=origin,
        example=torch.zeros(1, 3, *_round_size(size, facts)),
        calibration=calibration,
        parity_images=parity_images,
        threads=threads,
    )


def describe_segmentor(
    model: nn.Module,
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    class_names: Sequence[str] = (),
    preprocessing: dict[str, object] | None = None,
    output: ImageModelOutput = "logits",
    dynamic_size: bool = False,
) -> ImageModelFacts:
    """Return the facts of a segmentor for its manifest.

    Args:
        model: the segmentor; its backbone says what sides a dynamic size may have.
        num_classes: number of classes.
        mean: mean of each channel, for pixels in 0 to 1.
        std: standard deviation of each channel, for pixels in 0 to 1.
        class_names: name of each class, by class index; empty if they are not known.
        preprocessing: how an image is segmented (``mode``, ``stride``, ``scale``).
        output: ``logits`` or ``labels``.
        dynamic_size: whether height and width may differ from those that it is traced with.
    """
    return ImageModelFacts(
        kind="segmentor",
        output=output,
        num_classes=num_classes,
        class_names=list(class_names),
        mean=[float(value) for value in mean],
        std=[float(value) for value in std],
        preprocessing=preprocessing or {},
        dynamic_size=dynamic_size,
        size_divisor=list(get_model_divisor(model)) if dynamic_size else [1, 1],
    )


def get_model_divisor(model: nn.Module) -> tuple[int, int]:
    """Return the numbers of pixels that height and width must be multiples of; 1 for backbones that are not ours."""
    trunk = getattr(getattr(model, "backbone", None), "trunk", None)
    return (1, 1) if trunk is None else get_size_divisor(trunk)


class SegmentorModule(nn.Module):
    """A segmentor as a function of the images alone: normalized images (N, 3, H, W) to logits (N, classes, H, W).

    Args:
        model: an ``EncoderDecoder`` of mmseg, ours included.
        dynamic_size: whether the size stays open; the caller then pads to the patch of the backbone.
    """

    def __init__(self, model: nn.Module, dynamic_size: bool = False) -> None:
        super().__init__()
        self.model = model
        self.dynamic_size = dynamic_size

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the size of the images."""
        encode_decode = getattr(self.model, "encode_decode")  # noqa: B009  # mmseg has no types
        if self.dynamic_size:
            logits: Tensor = encode_decode(images, [{"img_shape": images.shape[2:]}] * len(images))
            return logits
        height, width = int(images.shape[2]), int(images.shape[3])
        divisors = get_model_divisor(self.model)
        rows, columns = (-(-side // by) * by for side, by in zip((height, width), divisors, strict=True))
        # as Segmentor does: the maps cover the padded images, so the logits are resized to those and cut
        padded = functional.pad(images, (0, columns - width, 0, rows - height))
        logits = encode_decode(padded, [{"img_shape": torch.Size((rows, columns))}] * len(images))
        return logits[:, :, :height, :width]


def _round_size(size: tuple[int, int], facts: ImageModelFacts) -> tuple[int, int]:
    """Return a size rounded up to what a dynamic size may be; a fixed size is padded inside."""
    rows, columns = (-(-side // by) * by for side, by in zip(size, facts.size_divisor, strict=True))
    return rows, columns
