"""How an image becomes the input of a finished classifier: timm's own transforms with the model's own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import Tensor

from backbones.card import BackboneCard
from classification.as_is.settings import ClassifierSettings
from classification.data.dataset_splits import ImageSplit


@dataclass(frozen=True)
class Preprocessing:
    """The settings of timm's transform for evaluation.

    Attributes:
        img_size: height and width of the input, pixels.
        crop_pct, crop_mode, interpolation: see ``ClassifierSettings``.
        mean, std: normalization of each channel, for pixel values in 0 to 1.
    """

    img_size: tuple[int, int]
    crop_pct: float
    crop_mode: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def make_transform(self) -> Any:
        """Return the transform from a PIL image (RGB) to a normalized tensor (3, height, width)."""
        return create_transform(
            input_size=(len(self.mean), *self.img_size),
            is_training=False,
            crop_pct=self.crop_pct,
            crop_mode=self.crop_mode,
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
        )

    def apply_settings(self, settings: ClassifierSettings) -> Preprocessing:
        """Return the preprocessing with what the user set."""
        # the settings have the names of the fields
        given = {name: getattr(settings, name) for name in settings.changed_preprocessing}
        if "img_size" in given:
            given["img_size"] = (given["img_size"], given["img_size"])
        for name in {"mean", "std"} & given.keys():
            given[name] = tuple(given[name])
        return replace(self, **given)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as a record keeps them."""
        height, width = self.img_size
        return {
            "img_size": height if height == width else [height, width],
            "crop_pct": self.crop_pct,
            "crop_mode": self.crop_mode,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def resolve_preprocessing(card: BackboneCard, config: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that timm's configuration of a model states.

    Size and normalization are those of the card, which has them from the same configuration unless somebody changed
    them. The size is ``input_size``, with which the weights were trained, and not ``test_input_size``.

    Args:
        card: the backbone's card.
        config: timm's ``pretrained_cfg``.
    """
    # timm's own defaults (crop_pct 0.875, bicubic) where the configuration is silent; it refuses an empty one
    found = resolve_data_config(pretrained_cfg=dict(config) or {"input_size": card.input_size})
    height, width = card.input_size[1:]
    return Preprocessing(
        img_size=(int(height), int(width)),
        crop_pct=float(found["crop_pct"]),
        crop_mode=str(found["crop_mode"]),
        interpolation=str(found["interpolation"]),
        mean=tuple(map(float, card.mean)),
        std=tuple(map(float, card.std)),
    )


def describe_test_size(card: BackboneCard, config: Mapping[str, Any], preprocessing: Preprocessing) -> tuple[str, ...]:
    """Return a sentence where timm states another size for tests, which its ``validate.py`` takes by default.

    Args:
        card: the backbone's card.
        config: timm's ``pretrained_cfg``.
        preprocessing: what is used.
    """
    stated = config.get("test_input_size")
    # a finished model is applied at one size; the other one is the user's choice, which becomes part of the id
    if not stated or tuple(stated[1:]) == preprocessing.img_size:
        return ()
    # timm takes the crop of the training where none is stated for the test
    crop = config.get("test_crop_pct") or config.get("crop_pct") or preprocessing.crop_pct
    used = " x ".join(map(str, preprocessing.img_size))
    return (
        f"{card.name} is tested at {used} px, its input_size; timm also states a test size, which its validate.py "
        f"takes unless --use-train-size is given: add --set img_size={stated[-1]} --set crop_pct={crop:g} for it",
    )


class TransformedImages:
    """The images of a split as input of a finished classifier.

    An item is a dict of ``images`` (3, height, width), ``labels`` (class index) and ``item`` (index).

    Args:
        split: images and labels.
        preprocessing: how an image becomes the input.
    """

    def __init__(self, split: ImageSplit, preprocessing: Preprocessing) -> None:
        self.split = split
        self.labels: Sequence[int] = split.labels
        self.preprocessing = preprocessing
        self.transform = preprocessing.make_transform()

    def __len__(self) -> int:
        return len(self.split.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image: Image.Image = self.split.images.load_image(self.split.indices[index])
        pixels: Tensor = self.transform(image)
        return {"images": pixels, "labels": self.labels[index], "item": index}

    def get_image_name(self, index: int) -> str:
        """Return the name of an image within the data set."""
        return self.split.images.get_relative_name(self.split.indices[index])

    def get_preprocessing(self) -> dict[str, Any]:
        """Return everything that determines the pixels of an image, as plain data."""
        return self.preprocessing.as_dict()
