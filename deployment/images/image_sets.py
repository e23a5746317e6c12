"""Real images as network input, to calibrate int8 on and to compare an export with PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.data import photographs
from foundation.files import sha256_chunks

CALIBRATION_IMAGES, CALIBRATION_SEED = 64, 20_003
PARITY_IMAGES, PARITY_SEED = 8, 20_004
CROP_AREA = (0.25, 1.0)
"""Smallest and largest area of a crop, as a fraction of the largest crop with its aspect ratio."""


@dataclass(frozen=True)
class ImageSet:
    """Real images as a network takes them.

    Attributes:
        images: normalized images, (1, 3, height, width) each.
        source: where they come from, in words.
        seed: seed with which they were chosen.
    """

    images: Sequence[Tensor]
    source: str
    seed: int

    def compute_fingerprint(self) -> str:
        """Return the SHA-256 over shapes and values of all images."""
        return sha256_chunks(
            f"{tuple(image.shape)}".encode() + np.ascontiguousarray(image.numpy()).tobytes() for image in self.images
        )

    def list_sizes(self) -> list[list[int]]:
        """Return height and width of the images, each size once."""
        return [list(size) for size in sorted({(int(image.shape[2]), int(image.shape[3])) for image in self.images})]


class ExportImages(NamedTuple):
    """The images of an export: to calibrate int8 on, and to compare with PyTorch on."""

    calibration: ImageSet
    parity: ImageSet


def make_calibration_photos(
    size: tuple[int, int], mean: Sequence[float], std: Sequence[float], number: int = CALIBRATION_IMAGES
) -> ImageSet:
    """Create calibration images from the embedded training photographs.

    Args:
        size: height and width, pixels.
        mean: mean of each channel, for pixels in 0 to 1.
        std: standard deviation of each channel, for pixels in 0 to 1.
        number: number of images.
    """
    images = make_photo_crops(photographs.TRAIN_PHOTOS, size, mean, std, number, CALIBRATION_SEED)
    return ImageSet(images, "crops of the embedded training photographs", CALIBRATION_SEED)


def make_parity_photos(
    sizes: Sequence[tuple[int, int]], mean: Sequence[float], std: Sequence[float], number: int = PARITY_IMAGES
) -> ImageSet:
    """Create images to compare an export with PyTorch, from embedded photographs that are never calibrated on.

    Args:
        sizes: heights and widths, pixels.
        mean: mean of each channel, for pixels in 0 to 1.
        std: standard deviation of each channel, for pixels in 0 to 1.
        number: number of images of each size.
    """
    images = [
        image
        for size in sizes
        for image in make_photo_crops(photographs.TEST_PHOTOS, size, mean, std, number, PARITY_SEED)
    ]
    return ImageSet(images, "crops of the embedded test photographs", PARITY_SEED)


def make_photo_crops(
    names: dict[str, tuple[str, ...]],
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    number: int,
    seed: int,
) -> list[Tensor]:
    """Crop photographs at random, in turn, and resize and normalize the crops.

    Args:
        names: package folder by file name (see ``photographs``).
        size: height and width of the images, pixels.
        mean: mean of each channel, for pixels in 0 to 1.
        std: standard deviation of each channel, for pixels in 0 to 1.
        number: number of images.
        seed: seed of the crops.

    Returns:
        Images of shape (1, 3, height, width).
    """
    photos = photographs.load_photos(names)
    center, spread = (torch.tensor(list(values), dtype=torch.float32).view(1, 3, 1, 1) for values in (mean, std))
    images = []
    for index in range(number):
        rng = np.random.default_rng((seed, index))
        photo = photos[index % len(photos)]
        # the largest crop with the aspect ratio of the input, made smaller by a random factor
        factor = min(photo.shape[0] / size[0], photo.shape[1] / size[1]) * float(rng.uniform(*CROP_AREA)) ** 0.5
        height, width = (max(1, int(side * factor)) for side in size)
        top, left = (int(rng.integers(0, room + 1)) for room in (photo.shape[0] - height, photo.shape[1] - width))
        crop = np.ascontiguousarray(photo[top : top + height, left : left + width])
        # averages the pixels where the crop is made smaller, and interpolates where it is made larger
        method = cv2.INTER_AREA if factor > 1 else cv2.INTER_CUBIC
        pixels = torch.from_numpy(cv2.resize(crop, (size[1], size[0]), interpolation=method))
        images.append((pixels.permute(2, 0, 1)[None].float() / 255 - center) / spread)
    return images
