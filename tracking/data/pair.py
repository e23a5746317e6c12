"""Training pairs: two crops and the box of the target in the second one; random jitter and augmentation."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from tracking.data.boxes import FloatArray
from tracking.data.crops import CropGeometry, ImageArray


class CropSizes(NamedTuple):
    """How crops are cut.

    Attributes:
        template_size, search_size: side lengths of the crops in pixels.
        template_factor, search_factor: side length of the image region, as a multiple of the target's side sqrt(w h).
        geometry: ``ostrack`` or ``exact``, see ``tracking.data.crops``.
    """

    template_size: int
    search_size: int
    template_factor: float
    search_factor: float
    geometry: CropGeometry = "ostrack"


class SearchJitter(NamedTuple):
    """How the search region is moved and scaled at random in training.

    Attributes:
        center_factor: range of the displacement of the center, as a multiple of the jittered box's side sqrt(w h). A
            displacement is at most half of it in each direction.
        scale_factor: standard deviation of the logarithm of each side.
    """

    center_factor: float
    scale_factor: float


class TrainingPair(NamedTuple):
    """One training pair.

    Attributes:
        template: template crop, RGB, shape (side, side, 3).
        search: search crop, RGB, shape (side, side, 3).
        box: x, y, width, height of the target as fractions of the search crop's side, shape (4,).
    """

    template: ImageArray
    search: ImageArray
    box: FloatArray


def jitter_box(rng: np.random.Generator, box: FloatArray, jitter: SearchJitter) -> FloatArray:
    """Move and scale a box at random, as OSTrack does for search regions.

    Each side is scaled: size' = size exp(N(0, 1) scale_factor). Then the center is moved by
    (U(0, 1) - 0.5) sqrt(w' h') center_factor in x and in y.

    Args:
        rng: random generator.
        box: x, y, width, height in pixels, shape (4,).
        jitter: the extent of the changes.

    Returns:
        x, y, width, height in pixels, shape (4,).
    """
    size = box[2:] * np.exp(rng.standard_normal(2) * jitter.scale_factor)
    # from the scaled box, as the crop is cut around that one
    reach = math.sqrt(size[0] * size[1]) * jitter.center_factor
    center = box[:2] + box[2:] / 2 + (rng.random(2) - 0.5) * reach
    return np.concatenate([center - size / 2, size])


def flip_horizontal(image: ImageArray, box: FloatArray) -> tuple[ImageArray, FloatArray]:
    """Mirror an image and a box in it from left to right.

    Args:
        image: shape (side, side, 3).
        box: x, y, width, height as fractions of the side, shape (4,).
    """
    return image[:, ::-1], np.array([1 - box[0] - box[2], *box[1:]])


def flip_frame(image: ImageArray, box: FloatArray, geometry: CropGeometry) -> tuple[ImageArray, FloatArray]:
    """Mirror a whole frame and a box in it from left to right.

    Column c of W becomes column W - 1 - c, so a box that covers the columns from x to x + w - 1 covers those from
    W - x - w on; ``exact`` says that. OSTrack (lib/train/data/transforms.py) mirrors the box's two edges as if they
    were columns, to W - 1 - x - w, which is one pixel too far left; ``ostrack`` does the same.

    Args:
        image: shape (height, width, 3).
        box: x, y, width, height in pixels, shape (4,).
        geometry: ``ostrack`` or ``exact``, see ``tracking.data.crops``.
    """
    width = image.shape[1] - (1 if geometry == "ostrack" else 0)
    return image[:, ::-1], np.array([width - box[0] - box[2], *box[1:]])


def to_frame_grayscale(image: ImageArray) -> ImageArray:
    """Convert a whole frame to gray as OSTrack does, with OpenCV's integers: up to 1 from ``to_grayscale``.

    Args:
        image: RGB, shape (height, width, 3).
    """
    return np.asarray(np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2))


def to_grayscale(image: ImageArray) -> ImageArray:
    """Replace the colors of an image by its luma (OpenCV's weights), in three equal channels.

    Args:
        image: RGB, shape (height, width, 3).
    """
    # ITU-R BT.601
    luma = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(np.repeat(np.clip(luma + 0.5, 0, 255).astype(np.uint8)[..., None], 3, 2))


def adjust_brightness(image: ImageArray, factor: float) -> ImageArray:
    """Multiply every pixel by a factor, rounded and clamped to 0..255.

    Args:
        image: shape (height, width, 3).
        factor: the factor, at least 0.
    """
    # a table of 256 entries, since bytes have no more values; faster than arithmetic on every pixel
    table = np.clip(np.arange(256) * factor + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(image), table), np.uint8)
