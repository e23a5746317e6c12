"""A training pair: two crops and the target's box in the second; jitter and augmentation."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from tracking.data.boxes import FloatArray
from tracking.data.crops import CropGeometry, ImageArray


class CropSizes(NamedTuple):
    """How crops are cut: sides in pixels, and how many times the target's side they show."""

    template_size: int
    search_size: int
    template_factor: float
    search_factor: float
    geometry: CropGeometry = "ostrack"


class SearchJitter(NamedTuple):
    """How the search region misses the target: reach of the centre, deviation of the logarithm of each side."""

    center_factor: float
    scale_factor: float


class TrainingPair(NamedTuple):
    """Template and search region (side, side, 3), and the target's box x, y, w, h as shares of the search region."""

    template: ImageArray
    search: ImageArray
    box: FloatArray


def jitter_box(rng: np.random.Generator, box: FloatArray, jitter: SearchJitter) -> FloatArray:
    """A box that misses the target as OSTrack's search regions do.

    size' = size exp(N(0, scale)) for each side; centre' = centre + (U(0, 1) - 0.5) sqrt(area') reach.
    """
    size = box[2:] * np.exp(rng.standard_normal(2) * jitter.scale_factor)
    reach = math.sqrt(size[0] * size[1]) * jitter.center_factor
    centre = box[:2] + box[2:] / 2 + (rng.random(2) - 0.5) * reach
    return np.concatenate([centre - size / 2, size])


def flip_horizontal(image: ImageArray, box: FloatArray) -> tuple[ImageArray, FloatArray]:
    """An image and a box in it (shares of the side), mirrored left to right."""
    return image[:, ::-1], np.array([1 - box[0] - box[2], *box[1:]])


def to_grayscale(image: ImageArray) -> ImageArray:
    """Luma in three equal channels (OpenCV's weights)."""
    luma = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(np.repeat(np.clip(luma + 0.5, 0, 255).astype(np.uint8)[..., None], 3, 2))


def adjust_brightness(image: ImageArray, factor: float) -> ImageArray:
    """Every pixel times a factor, clamped."""
    table = np.clip(np.arange(256) * factor + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(image), table), np.uint8)
