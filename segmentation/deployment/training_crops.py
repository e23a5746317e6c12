"""Crops of training images as a segmentor sees them, to calibrate an export on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deployment.images.image_sets import (
    CALIBRATION_IMAGES,
    CALIBRATION_SEED,
    PARITY_IMAGES,
    ExportImages,
    ImageSet,
)
from segmentation.as_is.finished_model import FinishedSegmentor
from segmentation.models.sliding_window import Size


def draw_training_crops(segmentor: FinishedSegmentor, files: Sequence[Path], size: Size, name: str) -> ExportImages:
    """Draw training images, and of each a random crop; those to compare on are others than those to calibrate on.

    Args:
        segmentor: the opened segmentor, which reads and normalizes the images.
        files: the training images.
        size: height and width of the crops, pixels.
        name: name of the data set, for the manifest.
    """
    order = np.random.default_rng(CALIBRATION_SEED).permutation(len(files)).tolist()
    # of a small data set, a few are kept for the comparison
    first, source = min(PARITY_IMAGES, max(1, len(files) // 4)), f"crops of training images of {name}"
    crops = [_draw_crop(segmentor, files[index], size, index) for index in order[: first + CALIBRATION_IMAGES]]
    return ExportImages(
        ImageSet(crops[first:] or crops, source, CALIBRATION_SEED), ImageSet(crops[:first], source, CALIBRATION_SEED)
    )


def _draw_crop(segmentor: FinishedSegmentor, file: Path, size: Size, index: int) -> Tensor:
    """Cut a random crop (1, 3, height, width) out of an image; what is smaller is filled up with the mean color."""
    rng = np.random.default_rng((CALIBRATION_SEED, index))
    image = segmentor.normalize(segmentor.prepare(file).pixels).float().cpu()
    missing = [max(0, side - have) for side, have in zip(size, image.shape[1:], strict=True)]
    image = functional.pad(image, (0, missing[1], 0, missing[0]))
    top, left = (int(rng.integers(0, have - side + 1)) for side, have in zip(size, image.shape[1:], strict=True))
    return torch.as_tensor(image[None, :, top : top + size[0], left : left + size[1]]).contiguous()
