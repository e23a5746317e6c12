"""Fixed inputs: a made-up photograph, features in clusters, and folders for data sets. No library's random numbers."""

from __future__ import annotations

import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backbones.card import BackboneCard
from backbones.cards.common import ARCHITECTURES_MODULE

HALF = (0.5, 0.5, 0.5)
TOKEN_CARD = BackboneCard(
    name="pinned_vit_cifar",
    architecture="vit_cifar",
    summary="Tan's ViT with its dummy patch, reduced",
    arguments={"embed_dim": 24, "depth": 2, "num_heads": 2, "patch_size": 6},
    input_size=(3, 36, 36),
    mean=HALF,
    std=HALF,
    module=ARCHITECTURES_MODULE,
)
"""A small backbone with a class token for protocols that read it."""

CHECKED_POINTS = ((0.11, 0.37), (0.29, 0.83), (0.52, 0.5), (0.71, 0.14), (0.9, 0.92))
"""Row and column of the pixels that are compared one by one, as fractions of the height and the width."""


@cache
def get_work_folder(name: str) -> Path:
    """Return an empty folder that is deleted when the process ends, always the same one for a name."""
    holder = tempfile.TemporaryDirectory(prefix=f"pins-{name}-")
    _HOLDERS.append(holder)
    return Path(holder.name)


_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def make_photo(height: int = 180, width: int = 240) -> NDArray[np.uint8]:
    """Return a picture (height, width, 3) of fine and coarse structure, made by arithmetic on whole numbers.

    Fine stripes show another interpolation, coarse gradients another crop, and the unlike channels a swap of channels.
    """
    y, x = np.mgrid[:height, :width].astype(np.int64)
    red = (x * 255 // width + 40 * ((x // 3 + y // 5) % 2)) % 256
    green = (y * 255 // height + (x * y) // 37) % 256
    blue = ((x - width // 3) ** 2 + (y - height // 2) ** 2) // 61 % 256
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def find_jpeg() -> Path:
    """Return the file of a JPEG photograph that scikit-learn ships."""
    return Path(str(resources.files("sklearn.datasets.images") / "china.jpg"))


def describe_pixels(image: Any) -> dict[str, list[float]]:
    """Describe an image (3, height, width) by the mean and deviation of each channel and the values of some pixels."""
    pixels = np.asarray(image, np.float64)
    _, height, width = pixels.shape
    points = [pixels[:, int(row * height), int(column * width)] for row, column in CHECKED_POINTS]
    return {
        "mean": _round_all(pixels.mean((1, 2))),
        "deviation": _round_all(pixels.std((1, 2))),
        "points": _round_all(np.concatenate(points)),
    }


def _round_all(values: Any, digits: int = 4) -> list[float]:
    return [round(float(value), digits) for value in values]


class FeatureSplit(NamedTuple):
    """Features (n, C), float32, and their classes (n,)."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


FEATURE_WIDTH, FEATURE_CLASSES = 12, 4
FEATURE_SEEDS = {"centers": 2311, "train": 2312, "val": 2313, "test": 2314, "mixing": 2315}
"""Chosen so that rounding changes nothing, for any protocol on frozen features.

No test item is near the border between two classes: the margin between its two most probable classes is more than a
hundredth of the median margin. And the rate that ``linear_sgd`` chooses is low: at rates above 100 its heads are
chaotic, so that another processor chooses another rate.
"""


@cache
def make_features(split: str, count: int) -> FeatureSplit:
    """Return features in overlapping clusters with correlated noise, one cluster for each of four classes.

    They come from the raw 64-bit integers of PCG64, which numpy never changes.
    """
    centers = _draw_normal(FEATURE_SEEDS["centers"], (FEATURE_CLASSES, FEATURE_WIDTH))
    mixing = _draw_normal(FEATURE_SEEDS["mixing"], (FEATURE_WIDTH, FEATURE_WIDTH))
    labels = np.arange(count) % FEATURE_CLASSES
    noise = _draw_normal(FEATURE_SEEDS[split], (count, FEATURE_WIDTH))
    return FeatureSplit((centers[labels] + 0.35 * noise @ mixing).astype(np.float32), labels.astype(np.int64))


def _draw_normal(seed: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return nearly normal values: the sum of twelve uniform ones minus six has mean 0 and variance 1."""
    raw = np.random.PCG64(seed).random_raw(12 * shape[0] * shape[1])
    uniform = (raw >> np.uint64(11)).astype(np.float64) / (1 << 53)
    return np.asarray(uniform.reshape(12, *shape).sum(0) - 6.0)
