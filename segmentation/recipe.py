"""The settings of a segmentation protocol: training, augmentation, inference and model. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from engine.recipe import StrictConfig, TrainingRecipe
from engine.settings.setting_types import BatchSize, ForeignConfig, LayerIndex, Side
from foundation.display_text import shorten_value


class SegmentationAugmentation(StrictConfig):
    """How a training image is augmented, in this order, by mmseg's transforms.

    Attributes:
        scale: longer and shorter side in pixels. The image is resized to fit into them with its aspect ratio kept,
            after both are multiplied by a factor drawn from ``ratio``.
        ratio: smallest and largest factor.
        cat_max_ratio: a crop in which one class covers more than this fraction (0 to 1) is drawn again, at most ten
            times.
        flip: probability of a left-right flip.
        photometric: whether brightness, contrast, saturation and hue are changed at random.
    """

    # lists and not tuples: a record is JSON, and pydantic's strict mode takes no list where it expects a tuple
    scale: list[Side] = Field(min_length=2, max_length=2)
    ratio: list[Annotated[float, Field(ge=0.01, le=100)]] = Field(default=[0.5, 2.0], min_length=2, max_length=2)
    cat_max_ratio: float = Field(default=0.75, gt=0, le=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    photometric: bool = True


class InferenceSettings(StrictConfig):
    """How an image is segmented for scoring: at one scale, without flips, scored at the size of its label file.

    Attributes:
        mode: ``slide`` averages the logits of overlapping windows, as large as the training crop; ``whole`` passes the
            complete image through the network at once.
        stride: distance between neighboring windows, pixels.
        scale: longer and shorter side in pixels that the image is resized to fit into; ``None`` leaves it as it is.
    """

    mode: Literal["slide", "whole"] = "slide"
    stride: Side
    scale: list[Side] | None = Field(default=None, min_length=2, max_length=2)


class SegmentationRecipe(TrainingRecipe):
    """Adds input size, augmentation, inference and mmseg's model configuration to a training recipe.

    Attributes:
        crop: side of the training crop and of the inference windows, pixels.
        out_indices: indices of the blocks (plain ViT) or stages whose feature maps the neck and heads read; ``None``
            takes the backbone's default.
        drop_path: drop-path rate (stochastic depth) of the last block, 0 to below 1.
        frozen: whether the backbone stays untrained and in eval mode.
        train: augmentation of training images.
        test: inference on validation and test images.
        model: mmseg's configurations of ``neck`` (for plain ViTs only; a hierarchical backbone has none),
            ``decode_head`` and ``auxiliary_head``. Input channels, number of classes and type of batch norm follow
            from the backbone, the data and the processes; they are filled in later.
        window_batch: number of windows in one forward pass; it moves only the last bits of the logits.
    """

    # the number of windows per forward pass can differ between machines without changing what is measured
    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = TrainingRecipe.NON_IDENTITY_FIELDS | {"window_batch"}

    crop: Side
    out_indices: list[LayerIndex] | None = Field(default=None, min_length=1, max_length=100)
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    frozen: bool = False
    train: SegmentationAugmentation
    test: InferenceSettings
    model: ForeignConfig
    window_batch: BatchSize = 8

    @property
    def draws_per_piece(self) -> bool:
        """Whether each micro-batch draws random numbers of its own: mmseg's heads drop channels unless told not to."""
        heads = [head for name in ("decode_head", "auxiliary_head") if (head := self.model.get(name)) is not None]
        return self.drop_path > 0 or any(head.get("dropout_ratio", 0.1) > 0 for head in heads)

    @model_validator(mode="after")
    def _check_model_and_stride(self) -> SegmentationRecipe:
        if self.test.mode == "slide" and self.test.stride > self.crop:
            raise ValueError(
                f"test.stride {self.test.stride} is larger than crop {self.crop}, so windows would leave gaps; "
                "lower test.stride"
            )
        if "decode_head" not in self.model:
            raise ValueError("model has no decode_head; add one")
        for name, part in self.model.items():
            _check_model_part(name, part)
        return self


def _check_model_part(name: str, part: Any) -> None:
    """Check what bench itself knows of a neck or head; mmseg checks the rest when it builds the network."""
    if not isinstance(part, dict | None):
        raise ValueError(f"model.{name} is {shorten_value(part)}, and not the settings of a part of the network")
    settings = part or {}
    if "type" in settings and not isinstance(settings["type"], str):
        raise ValueError(
            f"model.{name}.type is {shorten_value(settings['type'])}, and not the name of a class of mmseg"
        )
    for key, low, high, kinds in (("channels", 1, 2**16, int), ("dropout_ratio", 0, 1, int | float)):
        value = settings.get(key, low)
        if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"model.{name}.{key} must be a number from {low} to {high}, not {shorten_value(value)}")
