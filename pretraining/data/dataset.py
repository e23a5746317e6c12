"""The loader's datasets: indices and seeds of images in memory, or decoded crops of image files."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.functional import resized_crop

from foundation.errors import DataError
from pretraining.data.readers import ImagePool
from pretraining.recipe import Interpolation, Resizer

CropBox = tuple[int, int, int, int]
"""Top, left, height, width in pixels."""

MAX_DECODE_ATTEMPTS = 16
"""Number of consecutive images tried if they cannot be decoded, before the complete folder counts as broken."""


class InMemoryDataset:
    """Images that are stored on the device; an item is only an index and a seed, the batch is processed later.

    Args:
        pool: the images.
    """

    def __init__(self, pool: ImagePool) -> None:
        self.pool = pool

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> dict[str, Any]:
        # Python's generator, which SeededDataset seeds for each item
        return {"item": index, "seeds": random.getrandbits(63)}


class ImageFileDataset:
    """Image files that the loader's processes decode and crop; the device does the rest of the augmentation.

    An item consists of ``crops`` (views, 3, S, S) uint8, ``seeds``, and ``bad``, the index of a skipped image (-1 for
    none).

    Args:
        pool: the files.
        img_size: side S of a crop, pixels.
        area_range: smallest and largest fraction of the area that a random resized crop takes.
        interpolation: how crops are resized, always antialiased; see ``PretrainRecipe``.
        resize: what resizes them; see ``PretrainRecipe``.
        num_views: number of crops per image.
        skip_bad: replace an image that cannot be decoded by the next one; if ``False``, its error stops the run.
    """

    def __init__(
        self,
        pool: ImagePool,
        img_size: int,
        area_range: tuple[float, float],
        interpolation: Interpolation,
        num_views: int,
        skip_bad: bool,
        resize: Resizer = "pillow",
    ) -> None:
        self.pool = pool
        self.img_size = img_size
        self.area_range = area_range
        self.interpolation = interpolation
        self.num_views = num_views
        self.skip_bad = skip_bad
        self.resize = resize

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> dict[str, Any]:
        seed = random.getrandbits(63)
        image, bad = self._decode_with_fallback(index)
        crops = []
        for _ in range(self.num_views):
            # torchvision draws from torch's generator, which SeededDataset seeds for each item
            box = RandomResizedCrop.get_params(image, list(self.area_range), [3 / 4, 4 / 3])
            mode = self._draw_interpolation()
            crops.append(_CROP_FUNCTIONS[self.resize](image, box, self.img_size, mode))
        return {"crops": torch.stack(crops), "seeds": seed, "bad": bad}

    def _draw_interpolation(self) -> InterpolationMode:
        """Return how the next crop is resized; ``random`` draws from Python's generator, as timm's loaders do."""
        if self.interpolation != "random":
            return InterpolationMode(self.interpolation)
        return InterpolationMode.BILINEAR if random.getrandbits(1) else InterpolationMode.BICUBIC

    def _decode_with_fallback(self, index: int) -> tuple[Any, int]:
        for step in range(MAX_DECODE_ATTEMPTS):
            try:
                return self.pool.load_image((index + step) % len(self.pool)), index if step else -1
            except DataError as error:
                if not self.skip_bad:
                    raise DataError(f"{error}; or have such images skipped and counted with --skip-bad") from error
        raise DataError(
            f"{MAX_DECODE_ATTEMPTS} images in a row cannot be decoded, the first is "
            f"{self.pool.get_image_name(index)}; --skip-bad is for a few among thousands: download the set again"
        )


def _crop_with_pillow(image: Image.Image, box: CropBox, size: int, mode: InterpolationMode) -> Tensor:
    """Return a crop, (3, size, size) uint8, resized by Pillow as torchvision and timm do."""
    crop = resized_crop(image, *box, [size, size], mode, antialias=True)
    # band by band: the pixels lie interleaved, and to sort them afterwards would take longer
    bands = b"".join(band.tobytes() for band in crop.split())
    return torch.frombuffer(bytearray(bands), dtype=torch.uint8).reshape(3, size, size)


def _crop_with_torch(image: Image.Image, box: CropBox, size: int, mode: InterpolationMode) -> Tensor:
    """Return a crop, (3, size, size) uint8, resized by torch's vector code, whose weights have 16 bits."""
    top, left, height, width = box
    crop = np.array(image.crop((left, top, left + width, top + height)), np.uint8)
    # channels last, for which torch has the fast code
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None]
    return F.interpolate(pixels, (size, size), mode=mode.value, antialias=True, align_corners=False)[0].contiguous()


_CROP_FUNCTIONS = {"pillow": _crop_with_pillow, "torch": _crop_with_torch}
