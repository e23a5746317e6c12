"""How a finished segmentation model is applied: the settings of ``--set``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.config import parse_flat_settings
from engine.recipe import StrictConfig
from engine.settings.setting_types import ItemLimit, Side

Sides = Side | Annotated[list[Side], Field(min_length=2, max_length=2)]
"""One number for height and width, or both."""


class SegmentationSettings(StrictConfig):
    """How a finished segmentation model is applied; ``None`` is what the model was made with.

    Attributes:
        mode: ``slide`` averages the logits of overlapping windows, ``whole`` takes the complete image at once.
        crop: height and width of the windows, pixels.
        stride: distance between neighboring windows, pixels.
        classes: ``check`` refuses a model whose class names differ from those of the data; ``ignore`` compares only
            their number, for names in another language or spelling.
        max_items: largest number of test images; ``None`` for all.
    """

    mode: Literal["slide", "whole"] | None = None
    crop: Sides | None = None
    stride: Sides | None = None
    classes: Literal["check", "ignore"] = "check"
    max_items: ItemLimit | None = None

    @model_validator(mode="after")
    def _check_windows(self) -> SegmentationSettings:
        if self.mode == "whole" and (self.crop or self.stride):
            raise ValueError("crop and stride are those of mode slide; leave them out, or set mode=slide")
        return self


def parse_settings(overrides: Sequence[str]) -> SegmentationSettings:
    """Read ``key=value`` texts.

    Args:
        overrides: the texts of ``--set``.

    Raises:
        ConfigError: an unknown key, or values that cannot be (all of them are listed).
    """
    return parse_flat_settings(SegmentationSettings, overrides, "a finished segmentation model")


def get_both_sides(sides: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width, or the distances down and to the right, of a setting that has one number or both."""
    if isinstance(sides, int):
        return sides, sides
    height, width = sides
    return height, width
