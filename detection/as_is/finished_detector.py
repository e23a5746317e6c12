"""A finished detector: how it detects in an image, and what a record says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from detection.data.ground_truth import Category
from detection.data.samples import ImageDetections, InferenceImage
from detection.models.detector import Detector
from engine.evaluation.model_source import Precision, Runtime
from results.records.record import BackboneRecord


@dataclass(frozen=True)
class FinishedDetector:
    """A finished detector.

    Attributes:
        model: the whole model in PyTorch.
        network: what detects: the model, or its twin whose parts are computed by an exported graph.
        categories: ids and names of its classes; empty if the record does not say them.
        record: the model as a record describes it.
        test_mode: how an image is tested, in words.
        runtime: what computes the network: ``torch``, ``onnxruntime`` or ``openvino``.
        precision: precision of the runtime.
        exports: what a record keeps of the exported graphs; empty in PyTorch.
    """

    model: Detector
    network: Detector
    categories: Sequence[Category]
    record: BackboneRecord
    test_mode: str
    runtime: Runtime = "torch"
    precision: Precision = "f32"
    exports: dict[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes, without background."""
        return self.model.num_classes

    @property
    def has_masks(self) -> bool:
        """Whether it finds masks, too."""
        return self.model.mask_head is not None

    @property
    def size(self) -> int:
        """Side of the square input, pixels."""
        return self.model.recipe.size

    def detect(self, sample: InferenceImage) -> ImageDetections:
        """Detect the objects of an image, in pixels of the original, on the CPU.

        Args:
            sample: the resized image.
        """
        return self.network.detect_objects([sample])[0]
