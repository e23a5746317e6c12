"""A finished segmentor in a runtime: what an export has to know of it, and the network that an evaluation uses."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deployment.formats import ExportRuntime
from deployment.image_models import RuntimeNetwork, build_runtime_network
from deployment.images.image_manifest import ImageModelFacts, ImageModelOutput, LogitSize
from deployment.manifest import ExportOrigin
from deployment.runtimes import require_runtime
from engine.evaluation.model_source import Precision
from foundation.errors import UserError
from foundation.storage.leftovers import open_scratch_folder
from results.records.identity import AS_IS
from segmentation.as_is.finished_model import FinishedSegmentor, drop_training_parts
from segmentation.models.mmseg_imports import Upsample
from segmentation.models.sliding_window import Size

MAX_SIZES = 8
"""Graphs of one size that are made for complete images before it is called too many."""


class SegmentorModule(nn.Module):
    """A segmentor as a function of normalized images alone.

    Args:
        model: maps normalized images (N, 3, H, W) to logits at the resolution of its head, as mmseg's models do.
        facts: the size of the logits, and whether that of the images is fixed.
        divisor: numbers of pixels that height and width of what the backbone gets must be multiples of.
        align_corners: as in ``torch.nn.functional.interpolate``, where logits are enlarged.
    """

    def __init__(self, model: nn.Module, facts: ImageModelFacts, divisor: Size, align_corners: bool) -> None:
        super().__init__()
        self.model = model
        self.is_enlarged = facts.logit_size == "input"
        self.divisor = (1, 1) if facts.dynamic_size else divisor
        self.align_corners = align_corners

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, classes, rows, columns)."""
        # classes are chosen outside, in strips: logits of 150 classes at the size of an image take much memory
        if not self.is_enlarged:
            logits: Tensor = self.model(images)
            return logits
        if self.divisor == (1, 1):
            return self._enlarge(self.model(images), images)
        height, width = int(images.shape[2]), int(images.shape[3])
        rows, columns = round_size((height, width), self.divisor)
        # 0 is the mean color; the cells cover what was added too, so the logits are enlarged to all of it and cut
        padded = functional.pad(images, (0, columns - width, 0, rows - height))
        return self._enlarge(self.model(padded), padded)[:, :, :height, :width]

    def _enlarge(self, logits: Tensor, images: Tensor) -> Tensor:
        return functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=self.align_corners)


def round_size(size: Size, divisor: Size) -> Size:
    """Return height and width rounded up to multiples, pixels."""
    return -(-size[0] // divisor[0]) * divisor[0], -(-size[1] // divisor[1]) * divisor[1]


@dataclass
class SegmentorNetwork:
    """The exported network of a segmentor for images (N, 3, H, W) of any size: a graph for each, made when it is met.

    Attributes:
        segmentor: the opened segmentor.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the computation.
        out: folder in which the exports are kept; ``None`` keeps nothing.
        threads: number of threads for one call; ``None`` for as many as torch uses.
        networks: the graphs made so far, by height and width.
    """

    segmentor: FinishedSegmentor
    runtime: ExportRuntime
    precision: Precision
    out: Path | None = None
    threads: int | None = None
    networks: dict[Size, RuntimeNetwork] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits at the resolution of the head, (N, classes, rows, columns).

        Raises:
            UserError: the images have too many sizes for graphs of one size.
        """
        size = (int(images.shape[2]), int(images.shape[3]))
        return self.get_network(size)(images)

    def get_network(self, size: Size) -> RuntimeNetwork:
        """Return the graph for a size; it is made if there is none.

        Args:
            size: height and width, pixels.
        """
        if size not in self.networks:
            if len(self.networks) >= MAX_SIZES:
                raise UserError(
                    f"the images have more than {MAX_SIZES} sizes, and an exported graph has one; segment them in "
                    "windows (--set mode=slide), or in torch"
                )
            # the size of the windows is the common case, and has the folder for itself
            is_first = not self.networks
            out = self.out if self.out is None or is_first else self.out / f"{size[0]}x{size[1]}"
            self.networks[size] = self._build(size, out)
        return self.networks[size]

    def describe(self) -> dict[str, Any]:
        """Return what a record keeps of the exports, by the size of their input."""
        return {f"{rows}x{columns}": network.describe() for (rows, columns), network in self.networks.items()}

    def _build(self, size: Size, out: Path | None) -> RuntimeNetwork:
        segmentor = self.segmentor
        facts = describe_segmentor(segmentor, logit_size="head")
        # a graph is loaded from bytes, so that its folder may go
        with open_scratch_folder("export") as scratch:
            return build_runtime_network(
                wrap_segmentor(segmentor, facts),
                facts,
                runtime=self.runtime,
                precision=self.precision,
                out=out or scratch,
                origin=make_segmentor_origin(segmentor),
                example=torch.zeros(1, 3, *size),
                threads=self.threads,
            )


def put_in_runtime(segmentor: FinishedSegmentor, runtime: ExportRuntime, precision: Precision) -> FinishedSegmentor:
    """Return a segmentor whose network is computed by a runtime; it is exported when it meets the first image.

    Args:
        segmentor: the opened segmentor.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the computation.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, or no graph can hold the model.
    """
    require_runtime(runtime, precision)
    require_plain_network(segmentor)
    # a part of what the model is, and so of the id of its record
    arguments = {**segmentor.record.arguments, "runtime": runtime, "precision": precision}
    record = segmentor.record.model_copy(update={"arguments": arguments})
    return replace(segmentor, network=SegmentorNetwork(segmentor, runtime, precision), record=record)


def require_plain_network(segmentor: FinishedSegmentor) -> None:
    """Check that the labels of a segmentor follow from its network alone.

    Args:
        segmentor: the opened segmentor.

    Raises:
        UserError: mmseg's own code segments the images.
    """
    if segmentor.segment_by_itself is not None:
        raise UserError(
            f"{segmentor.record.name} is segmented by mmseg's own code (cascades, query decoders, flips, several "
            "scales or padding), which no graph holds; use it in torch"
        )


def wrap_segmentor(segmentor: FinishedSegmentor, facts: ImageModelFacts) -> SegmentorModule:
    """Return the module that is exported.

    Args:
        segmentor: the opened segmentor.
        facts: what is exported of it.

    Raises:
        UserError: mmseg's own code segments the images, and not the network alone.
    """
    require_plain_network(segmentor)
    # an auxiliary head only adds a loss
    model = drop_training_parts(segmentor.model)
    if facts.dynamic_size:
        model = copy.deepcopy(model)
        free_upsampling(model)
    return SegmentorModule(model, facts, segmentor.windows.divisor, segmentor.align_corners)


def describe_segmentor(
    segmentor: FinishedSegmentor,
    *,
    output: ImageModelOutput = "logits",
    logit_size: LogitSize = "input",
    dynamic_size: bool = False,
) -> ImageModelFacts:
    """Return the facts of a segmentor for its manifest.

    Args:
        segmentor: the opened segmentor.
        output: ``logits`` or ``labels``.
        logit_size: whether logits are enlarged to the size of the image, or left at the resolution of the head.
        dynamic_size: whether height and width may differ from those that it is traced with.
    """
    card, divisor, windows = segmentor.record.card, segmentor.windows.divisor, segmentor.windows
    return ImageModelFacts(
        kind="segmentor",
        output=output,
        logit_size=logit_size,
        num_classes=segmentor.num_classes,
        class_names=list(segmentor.class_names),
        mean=[float(value) for value in card["mean"]],
        std=[float(value) for value in card["std"]],
        preprocessing={
            "test_mode": segmentor.test_mode,
            "window": None if windows.size is None else list(windows.size),
            "stride": None if windows.size is None else list(windows.stride),
        },
        dynamic_size=dynamic_size,
        size_divisor=list(divisor) if dynamic_size else [1, 1],
    )


def make_segmentor_origin(segmentor: FinishedSegmentor) -> ExportOrigin:
    """Return where the weights of a segmentor come from.

    Args:
        segmentor: the opened segmentor.
    """
    record = segmentor.record
    assert record.checkpoint is not None, "a finished segmentor was loaded from a file"
    return ExportOrigin(
        run_id=None,
        backbone=record.name,
        task="",
        protocol=AS_IS,
        checkpoint_sha256=record.checkpoint.sha256,
        licence=f"of the weights: unknown; they came from {Path(record.checkpoint.uri).name}, whose terms hold",
    )


def free_upsampling(model: nn.Module) -> None:
    """Replace mmseg's upsampling by a factor with torch's, which computes the same and follows the size of its input.

    mmseg's computes the size of its output as a number, which a traced graph would keep for every input.

    Args:
        model: the model, which is changed.
    """
    for parent in list(model.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, Upsample) and part.size is None:
                free = nn.Upsample(scale_factor=part.scale_factor, mode=part.mode, align_corners=part.align_corners)
                setattr(parent, name, free)
