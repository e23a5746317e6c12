"""The manifest of an exported detector: its input and classes, and how far its detections are from PyTorch's."""

from __future__ import annotations

from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from deployment.manifest import ExportManifest
from detection.deployment.graphs import list_graph_names
from engine.recipe import StrictConfig


class DetectorParity(StrictConfig):
    """How far the exported detector is from PyTorch's in f32, on real images.

    Attributes:
        images: number of images.
        source: where they come from, in words.
        difference: largest difference of an output of each graph with the same input, as a fraction of the largest
            absolute value of that output, by graph.
        detections: number of PyTorch's detections in all images.
        agreement: the fraction of detections of either side that the other one has too: with the same class, an IoU
            above 0.9 and a score that differs by less than 0.01. It is 1 if there are none.
    """

    images: PositiveInt
    source: str
    difference: dict[str, float]
    detections: NonNegativeInt
    agreement: float = Field(ge=0, le=1)


class DetectorManifest(ExportManifest):
    """The manifest of an exported detector.

    Attributes:
        size: side of the square input, pixels.
        has_masks: whether there is a mask head.
        category_ids, class_names: of each class, by label; empty if they are not known.
        mean, std: the input is (pixel / 255 - mean) / std in the order red, green, blue, padded with 0 at the right and
            at the bottom.
        strides: of the levels, pixels.
        settings: of the proposals and of the detections, as the run was tested with them.
        parity: how far the detections are from PyTorch's.
    """

    size: PositiveInt
    has_masks: bool
    category_ids: list[int]
    class_names: list[str]
    mean: list[float] = Field(min_length=3, max_length=3)
    std: list[float] = Field(min_length=3, max_length=3)
    strides: list[float]
    settings: dict[str, Any]
    parity: DetectorParity

    def list_graph_names(self) -> tuple[str, ...]:
        """Return the names of the three or four graphs."""
        return list_graph_names(self.has_masks)
