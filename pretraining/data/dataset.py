"""What the loader serves: number and seed of an image in memory, or decoded crops of a file."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.functional import resized_crop

from foundation.errors import DataError
from pretraining.data.readers import ImagePool

MAX_DECODE_ATTEMPTS = 16
"""Images tried in the place of one that cannot be decoded, before the folder as a whole counts as broken."""


class InMemoryDataset:
    """Images that are kept on the device: an item is its number and a seed, everything else is done in the batch."""

    def __init__(self, pool: ImagePool) -> None:
        self.pool = pool

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"item": index, "seeds": random.getrandbits(63)}


class ImageFileDataset:
    """Image files: decoded and cropped in the loader's processes, ``crops`` (views, 3, S, S) uint8; the rest is done
    on the device.

    Args:
        pool: the files.
        img_size: S, pixels.
        area_range: smallest and largest share of the area that a random resized crop takes (bicubic, antialiased).
        num_views: crops an image.
        skip_bad: take the next image in the place of one that cannot be decoded, and say which it was (``bad``,
            -1 for none); off, the error stops the run.
    """

    def __init__(
        self, pool: ImagePool, img_size: int, area_range: tuple[float, float], num_views: int, skip_bad: bool
    ) -> None:
        self.pool = pool
        self.img_size = img_size
        self.area_range = area_range
        self.num_views = num_views
        self.skip_bad = skip_bad

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> dict[str, Any]:
        seed = random.getrandbits(63)
        image, bad = self._decode_with_fallback(index)
        crops = []
        for _ in range(self.num_views):
            box = RandomResizedCrop.get_params(image, list(self.area_range), [3 / 4, 4 / 3])
            crops.append(
                _image_to_tensor(
                    resized_crop(image, *box, [self.img_size] * 2, InterpolationMode.BICUBIC, antialias=True)
                )
            )
        return {"crops": torch.stack(crops), "seeds": seed, "bad": bad}

    def _decode_with_fallback(self, index: int) -> tuple[Any, int]:
        for step in range(MAX_DECODE_ATTEMPTS):
            try:
                return self.pool.load_image((index + step) % len(self.pool)), index if step else -1
            except DataError as error:
                if not self.skip_bad:
                    raise DataError(f"{error}; or have such images left out and counted with --skip-bad") from error
        raise DataError(
            f"{MAX_DECODE_ATTEMPTS} images in a row cannot be decoded, the first is "
            f"{self.pool.root / self.pool.paths[index]}; "
            "--skip-bad is for a few among thousands: fetch the set again"
        )


def _image_to_tensor(image: Any) -> Tensor:
    return torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1).contiguous()
