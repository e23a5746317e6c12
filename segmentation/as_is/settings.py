"""How a finished segmentation model is applied: the settings of ``--set``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError, model_validator

from engine.config import parse_value
from engine.recipe import StrictConfig
from foundation.errors import ConfigError
from foundation.suggest import did_you_mean
from results.records.strict_model import format_validation_errors

Sides = PositiveInt | Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
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
    max_items: Annotated[int, Field(ge=2)] | None = None

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
    known = list(SegmentationSettings.model_fields)
    content: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set takes key=value, not {text!r}")
        if key.strip() not in known:
            hint = ", ".join(known)
            raise ConfigError(f"unknown setting {key.strip()!r} of a segmentation{did_you_mean(key, known, hint=hint)}")
        content[key.strip()] = parse_value(value.strip())
    try:
        return SegmentationSettings.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"the settings are invalid (--set): {format_validation_errors(error)}") from error


def get_both_sides(sides: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width, or the distances down and to the right, of a setting that has one number or both."""
    if isinstance(sides, int):
        return sides, sides
    height, width = sides
    return height, width
