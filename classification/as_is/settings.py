"""The settings of ``--set`` for a finished classifier: how it is applied, where that differs from its own settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.config import parse_flat_settings
from engine.recipe import StrictConfig
from engine.settings.setting_types import BatchSize, ItemLimit, PathText, Side, WorkerCount

Interpolation = Literal["bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"]
"""Names that timm has for the ways to resize an image; ``random`` is for training."""

CropMode = Literal["center", "squash", "border"]

PREPROCESSING = ("img_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")
"""The settings that decide on the pixels that the network gets."""

_Channels = Annotated[list[Annotated[float, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
_DIRECTLY_NAMED = ("class_map", "real_labels")


class ClassifierSettings(StrictConfig):
    """How a finished classifier is applied; ``None`` means the model's own setting.

    Attributes:
        img_size: side of the square input, pixels.
        crop_pct: side of the crop as a fraction of the side of the resized image, 0.1 to 1.
        crop_mode: ``center`` resizes the shorter side and crops the center, ``squash`` resizes both sides without
            regard to the aspect ratio, ``border`` resizes the longer side and pads.
        interpolation: how an image is resized.
        mean, std: normalization of each channel, for pixel values in 0 to 1; both or neither.
        tta_flip: average the logits for the image and its mirror image.
        restrict: choose among the classes of the data only, where the head has more.
        class_map: file with a line ``folder,class`` for each class folder, or ``index``: the folders are named by the
            index of their class in the head (as those of ImageNet-V2).
        real_labels: file of the ReaL labels: a JSON list with the list of classes of each image of ImageNet's val.
        max_items: largest number of test images, equally many of each class; ``None`` for all, and for a run that was
            limited itself, its own limit.
        batch_size: images in one forward pass; it moves only the last bits.
        workers: number of loader processes.
    """

    img_size: Side | None = None
    # the image is enlarged to the input size over this fraction, which a smaller one makes larger than the memory
    crop_pct: float | None = Field(default=None, ge=0.1, le=1)
    crop_mode: CropMode | None = None
    interpolation: Interpolation | None = None
    mean: _Channels | None = None
    std: _Channels | None = None
    tta_flip: bool = False
    restrict: bool = False
    class_map: PathText | None = None
    real_labels: PathText | None = None
    max_items: ItemLimit | None = None
    batch_size: BatchSize | None = None
    workers: WorkerCount | None = None

    # one without the other would mix the normalization of two models
    @model_validator(mode="after")
    def _check_normalization(self) -> ClassifierSettings:
        if (self.mean is None) != (self.std is None):
            raise ValueError("the normalization of the input has mean and std; set both, or neither")
        if self.mean is not None and self.std is not None and (min(self.mean) < 0 or not min(self.std) > 0):
            raise ValueError("mean has values from 0 to 1 and std values above 0, for pixel values in 0 to 1")
        if max(self.mean or [0]) > 1 or max(self.std or [0]) > 1:
            raise ValueError("mean and std are for pixel values in 0 to 1; divide them by 255")
        return self

    @property
    def changed_preprocessing(self) -> list[str]:
        """Names of the settings that change the pixels."""
        return [name for name in PREPROCESSING if getattr(self, name) is not None]

    @property
    def class_map_file(self) -> Path | None:
        """The file of the class map; ``None`` without one, and where the folders are named by index."""
        return None if self.class_map in (None, "index") else Path(str(self.class_map)).expanduser()


def parse_settings(overrides: Sequence[str]) -> ClassifierSettings:
    """Parse ``key=value`` texts.

    Args:
        overrides: the texts of ``--set``.

    Raises:
        ConfigError: an unknown key, a text without ``=``, or values that cannot be; all of them are listed.
    """
    return parse_flat_settings(ClassifierSettings, overrides, "a finished classifier", _convert_value)


def _convert_value(key: str, text: str, value: object) -> object:
    # a path is a text, even if it looks like a number; from Python it comes in quotes
    is_other = key in _DIRECTLY_NAMED and not isinstance(value, str | None)
    return text if is_other else _widen_number(key, value)


def _widen_number(key: str, value: object) -> object:
    """Return a tuple as a list, and one number for three equal channels, as timm's options take them."""
    # strict settings take no integer for a fraction, and a shell user writes 0
    if key in ("mean", "std"):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [float(value)] * 3
        if isinstance(value, tuple | list):
            return [float(each) if isinstance(each, int) else each for each in value]
    return value
