"""The recipe of a segmentation protocol."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from engine.recipe import StrictConfig, TrainingRecipe


class SegmentationAugmentation(StrictConfig):
    """What happens to a training image, in this order; mmseg's transforms under their own names.

    Attributes:
        scale: longer and shorter side that an image is resized into (ratio kept), times a factor drawn from ``ratio``.
        ratio: smallest and largest factor.
        cat_max_ratio: a crop in which one class has more than this share is drawn again, up to ten times.
        flip: chance of a left-right flip.
        photometric: brightness, contrast, saturation and hue are changed.
    """

    scale: list[PositiveInt] = Field(min_length=2, max_length=2)
    ratio: list[PositiveFloat] = Field(default=[0.5, 2.0], min_length=2, max_length=2)
    cat_max_ratio: float = Field(default=0.75, gt=0, le=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    photometric: bool = True


class InferenceSettings(StrictConfig):
    """How an image is segmented for scoring: one scale, no flip; truth keeps its native size.

    Attributes:
        mode: ``slide`` averages the logits of overlapping windows of the training crop's size; ``whole`` takes the
            image at once.
        stride: of the windows, pixels.
        scale: longer and shorter side that an image is resized into; ``None`` leaves it as it is.
    """

    mode: Literal["slide", "whole"] = "slide"
    stride: PositiveInt
    scale: list[PositiveInt] | None = Field(default=None, min_length=2, max_length=2)


class SegmentationRecipe(TrainingRecipe):
    """Adds input, augmentation, test mode and mmseg's model configuration to a recipe.

    Attributes:
        crop: side of the training crop and of the windows, pixels.
        out_indices: blocks (plain ViT) or stages whose maps the neck and heads read; ``None``: the backbone's default.
        drop_path: stochastic depth of the last block.
        frozen: the backbone is not trained, and runs in eval mode.
        train, test: augmentation and test mode.
        model: ``neck`` (for plain ViTs; a hierarchy goes without), ``decode_head`` and ``auxiliary_head`` as mmseg
            takes them; channels that follow from the backbone, classes and the kind of batch norm are filled in.
        window_batch: windows in one forward pass (moves last bits only).
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = TrainingRecipe.NON_IDENTITY_FIELDS | {"window_batch"}

    crop: PositiveInt
    out_indices: list[int] | None = None
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    frozen: bool = False
    train: SegmentationAugmentation
    test: InferenceSettings
    model: dict[str, Any]
    window_batch: PositiveInt = 8

    @model_validator(mode="after")
    def _check_model_and_stride(self) -> SegmentationRecipe:
        if self.test.mode == "slide" and self.test.stride > self.crop:
            raise ValueError(f"test.stride {self.test.stride} is above the crop {self.crop}: windows would leave gaps")
        if "decode_head" not in self.model:
            raise ValueError("model needs a decode_head")
        return self
