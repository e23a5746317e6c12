"""Make ``mini_shapes``: shapes cut out of real photographs, for which pretrained weights matter.

Composed as ``mini_coco``, but a category is a shape: any photograph fills it, with its colors in any order, and any
other lies behind it, blurred. In ``mini_coco`` a category has a photograph of its own before one plain background, so
that a random patch embedding finds and names it by its colors, and pretrained weights are no help there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.data.mini_coco import ImageArray, Miniature, Outline, Parts, choose_piece, make_miniature

MINI_SHAPES_VERSION = 1
"""Raise this whenever the files change, also those that ``mini_coco``'s code writes."""

CATEGORIES = ((1, "disc"), (2, "rectangle"), (4, "triangle"), (7, "star"), (8, "cross"), (11, "arch"), (13, "bolt"))
"""Id and name of each category, with gaps as in COCO. The last one never occurs in validation."""

_DISC, _RECTANGLE = 0, 1

_PHOTO_FILES = (
    *("chelsea.png", "flower.jpg", "brick.png", "coffee.png"),
    *("retina.jpg", "ihc.png", "page.png", "moon.png"),
)


def make_mini_shapes(cache: Path) -> Path:
    """Return the folder that holds ``annotations``, ``train2017`` and ``val2017``; the first call makes it.

    Args:
        cache: the cache folder.

    Raises:
        DataError: a package lacks a photograph that it should ship.
        StorageError: the cache folder cannot be written.
    """
    return make_miniature(cache, _MINI_SHAPES)


def _draw_shape(label: int, center: NDArray[np.float64], side: float, rng: np.random.Generator) -> Outline:
    """Draw the shape of a category about ``side`` pixels wide, stretched and turned by up to 17 degrees."""
    stretch = np.exp(rng.uniform(-0.3, 0.3))
    turn = rng.uniform(-0.3, 0.3)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = _SHAPES[label] * [stretch, 1 / stretch] @ rotation * side / 2
    return np.asarray(np.round(points + center, 2), np.float64)


def _make_shapes() -> list[Outline]:
    """Return the outline of each category, (points, 2), x to the right and y down, within about -1 to 1."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    tip = np.pi * np.arange(10) / 5
    radius = np.where(np.arange(10) % 2, 0.45, 1.15)
    arm = 0.36
    # the top of an arm and the corner to the next one, turned by 0, 90, 180 and 270 degrees
    corner = np.array([(-arm, -1), (arm, -1), (arm, -arm)])
    quarters = [np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), k) for k in range(4)]
    span = np.linspace(-2.2, 2.2, 24)
    inner = 0.75 * np.stack([np.sin(0.8 * span[::-1]), 0.6 - np.cos(0.8 * span[::-1])], 1)
    return [
        np.stack([np.cos(angle), np.sin(angle)], 1),
        np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64),
        np.array([(0, -1.1), (1.05, 0.8), (-1.05, 0.8)]),
        np.stack([radius * np.sin(tip), -radius * np.cos(tip)], 1),
        np.concatenate([corner @ each for each in quarters]),
        np.concatenate([np.stack([np.sin(span), -np.cos(span)], 1), inner]),
        np.array([(0.2, -1.1), (-0.7, 0.15), (-0.05, 0.15), (-0.3, 1.1), (0.7, -0.2), (0.05, -0.2)]),
    ]


_SHAPES = _make_shapes()


def _choose_any(parts: Parts, rng: np.random.Generator) -> ImageArray:
    """Choose a photograph, one of its pieces and the order of its colors."""
    return choose_piece(parts[int(rng.integers(len(parts)))], rng)[..., rng.permutation(3)]


_MINI_SHAPES = Miniature(
    name="mini_shapes",
    version=MINI_SHAPES_VERSION,
    split_sizes=(96, 64),
    categories=CATEGORIES,
    photographs=_PHOTO_FILES,
    special_labels=(_RECTANGLE,) * 4,
    crowd_label=_DISC,
    draw_outline=_draw_shape,
    choose_texture=lambda parts, _label, rng: _choose_any(parts, rng),
    choose_background=_choose_any,
)
