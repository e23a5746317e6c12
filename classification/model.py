"""A timm backbone with its classifier, as mmengine's Runner wants a model."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from classification.metrics import Scored


class Classifier(BaseModel):
    """Wraps a timm model that ends in its classifier.

    Args:
        backbone: timm model giving logits of shape (batch, classes).
        label_smoothing: of the training loss, 0 to below 1.
    """

    def __init__(self, backbone: nn.Module, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.label_smoothing = label_smoothing

    def forward(self, images: Tensor, labels: Tensor, item: Tensor, mode: str = "tensor") -> Any:
        """One batch.

        Args:
            images: (batch, 3, height, width), normalised.
            labels: (batch,) class numbers.
            item: (batch,) item numbers.
            mode: ``loss`` gives ``{"loss": scalar}``, ``predict`` a list of ``Scored``, one an image.
        """
        logits = self.backbone(images)
        if mode == "loss":
            return {"loss": functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)}
        if mode == "predict":
            chance, prediction = logits.float().softmax(1).max(1)
            columns = (item, labels, prediction, chance)
            return [Scored(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        return logits
