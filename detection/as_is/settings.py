"""How a finished detector is applied: the settings of ``--set``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from detection.recipe import DetectionInference
from engine.config import parse_flat_settings
from engine.recipe import StrictConfig
from engine.settings.setting_types import Count, Fraction, ItemLimit


class DetectionSettings(StrictConfig):
    """How a finished detector is applied; ``None`` is what the run was tested with.

    Attributes:
        min_score: a detection must have a higher score.
        nms_iou: of two detections of a class that overlap by more, the one with the lower score is dropped.
        per_image: largest number of detections of an image.
        classes: ``check`` refuses a model whose class names differ from those of the data; ``ignore`` compares only
            their number, for names in another language or spelling.
        max_items: largest number of test images; ``None`` for all.
    """

    min_score: Fraction | None = None
    nms_iou: Fraction | None = None
    per_image: Count | None = None
    classes: Literal["check", "ignore"] = "check"
    max_items: ItemLimit | None = None

    def change_inference(self, test: DetectionInference) -> DetectionInference:
        """Return a run's inference with what the user changes of it.

        Args:
            test: how the run was tested.
        """
        changes = {"min_score": self.min_score, "nms_iou": self.nms_iou, "per_image": self.per_image}
        return test.model_copy(update={name: value for name, value in changes.items() if value is not None})


def parse_settings(overrides: Sequence[str]) -> DetectionSettings:
    """Read ``key=value`` texts.

    Args:
        overrides: the texts of ``--set``.

    Raises:
        ConfigError: an unknown key, or values that cannot be (all of them are listed).
    """
    return parse_flat_settings(DetectionSettings, overrides, "a finished detector")
