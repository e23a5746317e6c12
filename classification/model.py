"""A timm backbone with its classifier, as mmengine's Runner wants a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from timm.data import Mixup
from torch import Tensor, nn
from torch.nn import functional

from classification.metrics import ScoredItem, rank_true_class
from classification.recipe import ClassificationRecipe, ImageRecipe


class Classifier(BaseModel):
    """Wraps a timm model that ends in its classifier.

    Args:
        backbone: timm model giving logits of shape (batch, classes).
        label_smoothing: of the training loss, 0 to below 1.
        mixup: mixes the images and labels of a training batch; it smooths the labels itself.
    """

    def __init__(self, backbone: nn.Module, label_smoothing: float = 0.0, mixup: Mixup | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.label_smoothing = label_smoothing
        self.mixup = mixup

    @classmethod
    def from_recipe(cls, backbone: Any, recipe: ClassificationRecipe) -> Classifier:
        """The classifier with the regularisation of a recipe."""
        mixup = None
        if isinstance(recipe, ImageRecipe) and (recipe.mixup or recipe.cutmix):
            mixup = Mixup(
                recipe.mixup, recipe.cutmix, label_smoothing=recipe.label_smoothing, num_classes=backbone.num_classes
            )
        return cls(backbone, recipe.label_smoothing, mixup)

    def forward(self, images: Tensor, labels: Tensor, item: Tensor, mode: str = "tensor") -> Any:
        """One batch.

        Args:
            images: (batch, 3, height, width), normalised.
            labels: (batch,) class numbers.
            item: (batch,) item numbers.
            mode: ``loss`` gives ``{"loss": scalar}``, ``predict`` a list of ``ScoredItem``, one an image.
        """
        if mode == "loss" and self.mixup is not None:
            # timm draws from numpy, whose state belongs to the items; torch's generator drives the model
            np.random.seed(int(torch.randint(2**31, ())))
            images, shares = self.mixup(images, labels)
            return {"loss": functional.cross_entropy(self.backbone(images).float(), shares)}
        logits = self.backbone(images)
        if mode == "loss":
            return {"loss": functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)}
        if mode == "predict":
            chances, truth = logits.float().softmax(1).cpu().numpy(), labels.cpu().numpy()
            columns = (item.cpu().numpy(), truth, chances.argmax(1), chances.max(1), rank_true_class(truth, chances))
            return [ScoredItem(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        return logits
