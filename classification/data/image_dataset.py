"""The images of a split as network input, made by timm's transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data import auto_augment, create_transform
from torch import Tensor

from classification.data.dataset_splits import ImageSplit
from classification.recipe import FrozenRecipe, ImageRecipe

_TENSOR_STEPS = 2
"""timm's last steps without augmentation: to a tensor of 0 to 1, and normalize."""


class ImageDataset:
    """One split of a data set of photographs.

    An item is a dict of ``images`` (3, S, S), float32 and normalized, ``labels`` (class index) and ``item`` (index).
    Without augmentation the shorter side is resized to S / crop_pct (bicubic) and the center is cropped. With
    augmentation a random resized crop is taken, followed by what the recipe asks for.

    Args:
        split: images and labels.
        recipe: gives the sizes and the augmentation; S is its ``img_size``.
        mean: mean of each channel for pixels in 0 to 1, from the backbone's card.
        std: standard deviation of each channel for pixels in 0 to 1, from the backbone's card.
        augment: whether to apply the recipe's augmentation.
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
        # what evaluation needs; get_preprocessing returns it for the key of the feature cache
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
                "color_jitter": None,  # timm's default is 0.4; with RandAugment it would be ignored anyway
                "re_prob": recipe.erase,
                "re_mode": "pixel",  # each erased pixel gets its own noise
            }
        self.transform: Any = create_transform(**self.transform_kwargs, **drawn)
        self._values = None if augment else _tabulate_values(self.transform)
        for step in self.transform.transforms:
            for operation in getattr(step, "ops", ()):  # those of RandAugment
                if operation.aug_fn is auto_augment.posterize:
                    operation.aug_fn = _posterize_image

    def __len__(self) -> int:
        return len(self.split.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.split.images.load_image(self.split.indices[index])
        pixels = self.transform(image) if self._values is None else self._read_pixels(image, self._values)
        return {"images": pixels, "labels": self.labels[index], "item": index}

    def _read_pixels(self, image: Image.Image, values: NDArray[np.float32]) -> Tensor:
        """Resize, crop and normalize an image as the transform does, without torch's threads, which would compete."""
        for step in self.transform.transforms[:-_TENSOR_STEPS]:
            image = step(image)
        numbers = np.asarray(image)
        planes = np.empty((3, *numbers.shape[:2]), np.float32)
        for channel, plane in enumerate(planes):
            # clip: the mode that writes without a copy; no number is beyond the table
            np.take(values[channel], numbers[..., channel], out=plane, mode="clip")
        return torch.from_numpy(planes)

    def get_image_name(self, index: int) -> str:
        """Return the file of an image, or its number in the data set."""
        return self.split.images.get_image_name(self.split.indices[index])

    def get_preprocessing(self) -> dict[str, Any]:
        """Return everything that determines the pixels of an image, as plain data; part of the feature cache's key."""
        # raise "reader" when images are decoded differently, so that stored features are not used any more
        return {"reader": 1, **self.transform_kwargs}


def _tabulate_values(transform: Any) -> NDArray[np.float32]:
    """Return what a transform makes of each of the 256 numbers of a pixel, (3, 256), by its own last steps."""
    numbers: Any = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2))
    for step in transform.transforms[-_TENSOR_STEPS:]:
        numbers = step(numbers)
    return np.asarray(numbers.numpy()[:, 0], np.float32)


def _posterize_image(image: Image.Image, bits: int, **arguments: Any) -> Image.Image:
    """Posterize as timm does, also to 0 bits: a black image, which Pillow refuses to make from version 13 on.

    RandAugment reaches 0 bits where it draws the highest magnitude, about once in a thousand images.
    """
    if bits == 0:
        return Image.new(image.mode, image.size)
    posterized: Image.Image = auto_augment.posterize(image, bits, **arguments)
    return posterized
