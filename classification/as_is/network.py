"""What computes the logits of a finished classifier: the only place where a runtime is chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from classification.as_is.finished_classifier import FinishedClassifier
from classification.deployment.runtime_network import build_classifier_network
from engine.evaluation.model_source import ModelSource

Network = Callable[[Tensor], Tensor]
"""Maps normalized images (n, 3, height, width) to logits (n, classes), on the device of the images."""


class FlipAverage(nn.Module):
    """Averages the logits for each image and for its mirror image.

    Args:
        network: maps images to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) for images (n, 3, height, width)."""
        return average_flipped(self.network, images)


def average_flipped(network: Network, images: Tensor) -> Tensor:
    """Return the mean of the logits for images and for their mirror images, as timm's test-time augmentation has it.

    Args:
        network: maps images to logits.
        images: normalized images, (n, 3, height, width).
    """
    return (network(images) + network(images.flip(-1))) / 2


def make_network(classifier: FinishedClassifier, source: ModelSource, device: str, out: Path | None = None) -> Network:
    """Return what computes the logits.

    Args:
        classifier: the opened classifier.
        source: says in which runtime and precision.
        device: where PyTorch computes.
        out: folder in which an export for another runtime is kept; ``None`` keeps nothing.

    Raises:
        UserError: the runtime or its precision is not available, or the classifier cannot be exported.
        BenchError: the exported classifier does not compute what PyTorch computes.
    """
    if source.runtime != "torch":
        return build_classifier_network(classifier, source.runtime, source.precision, out)
    model = classifier.model.to(device)

    def compute_logits(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = model(images)
        return logits

    return compute_logits
