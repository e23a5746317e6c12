"""A timm backbone with its classifier, in the form that mmengine's Runner expects of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from numpy.typing import NDArray
from timm.data import Mixup
from torch import Tensor, nn
from torch.nn import functional

from classification.metrics import ScoredItem, rank_true_class
from classification.recipe import ClassificationRecipe, ImageRecipe
from engine.processes.random_draws import append_partners
from foundation.errors import NonFiniteError


class Classifier(BaseModel):
    """Wraps a timm model with a classifier as a model of mmengine.

    Args:
        backbone: timm model that maps images to logits, (batch, classes).
        label_smoothing: label smoothing of the training loss, 0 to below 1.
        mixup: mixes the images and labels of a training batch (mixup and CutMix); it smooths the labels itself.
    """

    def __init__(self, backbone: nn.Module, label_smoothing: float = 0.0, mixup: Mixup | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.label_smoothing = label_smoothing
        self.mixup = mixup

    @classmethod
    def from_recipe(cls, backbone: Any, recipe: ClassificationRecipe) -> Classifier:
        """Wrap a backbone with the label smoothing and the mixup of a recipe.

        Args:
            backbone: timm model with a classifier.
            recipe: the settings of the training.
        """
        mixup = None
        if isinstance(recipe, ImageRecipe) and (recipe.mixup or recipe.cutmix):
            mixup = Mixup(
                recipe.mixup, recipe.cutmix, label_smoothing=recipe.label_smoothing, num_classes=backbone.num_classes
            )
        return cls(backbone, recipe.label_smoothing, mixup)

    def forward(self, images: Tensor, labels: Tensor, item: Tensor, mode: str = "tensor") -> Any:
        """Run one batch.

        Args:
            images: normalized images, (batch, 3, height, width).
            labels: class indices, (batch,).
            item: item indices, (batch,).
            mode: what to return: ``loss``, ``predict`` or ``tensor``.

        Returns:
            ``{"loss": scalar}`` for ``loss``, one ``ScoredItem`` per image for ``predict``, and the logits
            (batch, classes) for ``tensor``.
        """
        if mode == "loss":
            return {"loss": self.compute_batch_loss(images, labels)}
        logits = self.backbone(images)
        if mode == "predict":
            return score_items(compute_probabilities(logits, item), labels.cpu().numpy(), item.cpu().numpy())
        return logits

    def compute_batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mix a training batch, where the recipe mixes, and return its loss.

        Args:
            images: normalized images, (batch, 3, height, width).
            labels: class indices, (batch,).
        """
        if self.mixup is None:
            return self.compute_loss(images, labels, self.label_smoothing)
        # timm's Mixup draws from numpy, whose state is seeded for the items and depends on the loader processes;
        # a seed drawn from torch's generator, which is reseeded each epoch, makes the mixing reproducible
        np.random.seed(int(torch.randint(2**31, ())))
        own = len(images)
        # the mixed labels are distributions over the classes, (batch, classes), already smoothed
        images, mixed_labels = self.mixup(*append_partners(images, labels))
        return self.compute_loss(images[:own], mixed_labels[:own], 0.0)

    def compute_loss(self, images: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean loss of images as the network sees them.

        Args:
            images: normalized images, already mixed, (batch, 3, height, width).
            targets: class indices, (batch,), or distributions over the classes, (batch, classes).
            label_smoothing: label smoothing of class indices, 0 to below 1.
        """
        # float() before the softmax: under fp16 or bf16 autocast the logits come in half precision
        return functional.cross_entropy(self.backbone(images).float(), targets, label_smoothing=label_smoothing)


def compute_probabilities(logits: Tensor, items: Tensor) -> NDArray[np.float32]:
    """Compute the probability of each class.

    Args:
        logits: outputs of the classifier, (batch, classes).
        items: item indices, (batch,), for the message.

    Returns:
        Probabilities, (batch, classes).

    Raises:
        NonFiniteError: an output is not finite.
    """
    # float() before the softmax: under fp16 or bf16 the logits come in half precision
    probabilities: NDArray[np.float32] = logits.float().softmax(1).cpu().numpy()
    _require_finite_outputs(probabilities, items)
    return probabilities


def score_items(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], items: NDArray[np.int64]
) -> list[ScoredItem]:
    """Return the row of each image in the per-item table.

    Args:
        probabilities: probability of each class, (batch, classes).
        labels: true classes, (batch,).
        items: item indices, (batch,).
    """
    columns = (
        items,
        labels,
        probabilities.argmax(1),
        probabilities.max(1),
        rank_true_class(labels, probabilities),
    )
    # tolist() turns numpy scalars into Python numbers, which a CSV writer and JSON can take
    return [ScoredItem(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _require_finite_outputs(probabilities: NDArray[np.float32], items: Tensor) -> None:
    """Require finite outputs; argmax would call an undefined one the first class.

    Raises:
        NonFiniteError: names the first image whose output is not.
    """
    good = np.isfinite(probabilities).all(1)
    if not good.all():
        item = int(items[int(np.flatnonzero(~good)[0])])
        raise NonFiniteError(
            f"the outputs for image {item} are not finite, so it has no score; the weights are too large (lower "
            "optimizer.lr) or damaged"
        )
