"""Images of a split as network input, through timm's transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.data import create_transform

from classification.data.dataset_splits import ImageSplit
from classification.recipe import FrozenRecipe, ImageRecipe


class ImageDataset:
    """One split: dicts of ``images`` (3, S, S) normalised, ``labels`` and ``item``.

    Evaluation resizes the shorter side to S / crop_pct (bicubic) and crops the centre; training takes a random
    resized crop and what else the recipe has.

    Args:
        split: images and labels.
        recipe: gives sizes and augmentation.
        mean, std: of the backbone's card.
        augment: whether to draw the recipe's augmentation.
    """

    def __init__(
        self,
        split: ImageSplit,
        recipe: ImageRecipe | FrozenRecipe,
        mean: Sequence[float],
        std: Sequence[float],
        augment: bool = False,
    ) -> None:
        self.split = split
        self.labels = split.labels
        self.transform_kwargs: dict[str, Any] = {
            "input_size": recipe.img_size,
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
            "interpolation": "bicubic",
            "crop_pct": recipe.crop_pct,
        }
        drawn: dict[str, Any] = {}
        if augment:
            assert isinstance(recipe, ImageRecipe), "frozen features are never augmented"
            drawn = {
                "is_training": True,
                "scale": tuple(recipe.scale),
                "hflip": recipe.flip,
                "auto_augment": recipe.rand_augment,
                "color_jitter": None,
                "re_prob": recipe.erase,
                "re_mode": "pixel",
            }
        self.transform: Any = create_transform(**self.transform_kwargs, **drawn)

    def __len__(self) -> int:
        return len(self.split.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.split.images.load_image(self.split.indices[index])
        return {"images": self.transform(image), "labels": self.labels[index], "item": index}

    def get_image_name(self, index: int) -> str:
        """The image's file, or its number in the set."""
        return self.split.images.get_image_name(self.split.indices[index])

    def get_preprocessing(self) -> dict[str, Any]:
        """All that makes pixels of an image, as plain data; part of the feature cache's key."""
        return {"reader": 1, **self.transform_kwargs}
