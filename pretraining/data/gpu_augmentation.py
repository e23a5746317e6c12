"""The last steps of the input, on the device and for a complete batch: crop, flip, colors, normalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from pretraining.data.color_jitter import augment_colors
from pretraining.data.crops import choose_bilinear, crop_and_resize, sample_crop_boxes, sample_flips
from pretraining.data.readers import ImagePool
from pretraining.recipe import ColorAugmentation, PretrainRecipe

VIEW_SEED_OFFSET = 1 << 32
"""Added to the seed of an image for its second view, which then has other crops and colors."""


class BatchPreprocessor(BaseDataPreprocessor):
    """Makes the input of a method from a batch of the loader.

    The input consists of ``images`` (N, 3, S, S), normalized, and ``seeds`` (N,); with two views also
    ``second_images``.

    Args:
        pool: the images; if they are in memory, they are moved to the device once.
        recipe: gives the fractions of the area and the flip probability.
        img_size: side S of the input, pixels.
        mean, std: normalization of the card, per channel, for pixels from 0 to 1.
        color_augmentation: color part of the two-view augmentation; ``None`` for one view without color changes.
    """

    def __init__(
        self,
        pool: ImagePool,
        recipe: PretrainRecipe,
        img_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        color_augmentation: ColorAugmentation | None = None,
    ) -> None:
        super().__init__()
        # (n, height, width, 3) to (n, 3, height, width); a plain attribute, so that checkpoints do not contain the data
        self.pixels = None if pool.pixels is None else torch.from_numpy(pool.pixels).permute(0, 3, 1, 2).contiguous()
        self.recipe = recipe
        self.img_size = img_size
        self.color_augmentation = color_augmentation
        # times 255, since pixels here are 0 to 255: (p / 255 - mean) / std = (p - 255 mean) / (255 std)
        self.register_buffer("mean", 255 * torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("inverse_std", 1 / (255 * torch.tensor(std).reshape(3, 1, 1)), persistent=False)

    @torch.no_grad()
    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Tensor]:
        """Make the input of a method.

        Args:
            data: a batch of ``InMemoryDataset`` or ``ImageFileDataset``.
            training: not used; part of mmengine's interface.
        """
        device = self.mean.device
        seeds = data["seeds"].to(device, non_blocking=True)
        # the augmentation is computed in fp32, whatever the precision of the training
        with torch.autocast(device.type, enabled=False):
            views = [
                self._make_view(data, seeds, number) for number in range(1 if self.color_augmentation is None else 2)
            ]
        return {"images": views[0], "seeds": seeds} | ({"second_images": views[1]} if len(views) > 1 else {})

    def _make_view(self, data: Mapping[str, Any], seeds: Tensor, view_index: int) -> Tensor:
        device = self.mean.device
        own = seeds + view_index * VIEW_SEED_OFFSET
        mirrored = sample_flips(own, self.recipe.flip)
        if self.pixels is None:  # files: the loader has already cropped them
            images = data["crops"][:, view_index].to(device, non_blocking=True).float()
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        else:
            if self.pixels.device != device:
                self.pixels = self.pixels.to(device)
            images = self.pixels[data["item"].to(device)]
            low, high = self.recipe.scale
            boxes = sample_crop_boxes(own, images.shape[2], images.shape[3], (low, high))
            bilinear = choose_bilinear(own, self.recipe.interpolation)
            images = crop_and_resize(images, boxes, mirrored, self.img_size, bilinear)
        if self.color_augmentation is not None:
            images = 255 * augment_colors(images / 255, own, self.color_augmentation, view_index)
        return self.normalize_images(images)

    def normalize_images(self, images: Tensor) -> Tensor:
        """Convert pixels (N, 3, S, S), 0 to 255, to normalized input."""
        found: Tensor = (images - self.mean) * self.inverse_std
        return found

    def denormalize_images(self, images: Tensor) -> Tensor:
        """Convert normalized input (N, 3, S, S) back to uint8 pixels."""
        found: Tensor = (images / self.inverse_std + self.mean).round().clamp(0, 255).to(torch.uint8)
        return found
