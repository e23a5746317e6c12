"""Colors for classes, as different from each other as possible and the same in every picture."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.pictures.layout import RgbColor

NO_CLASS_INDEX = 255
"""Index of what has no class; its color is gray."""

GRAY, RED = (128, 128, 128), (230, 50, 40)
"""The colors of no class and of errors, which no class has."""


def get_color(colors: NDArray[np.uint8], index: int) -> RgbColor:
    """Return one of the colors (colors, 3) as whole numbers."""
    red, green, blue = colors[index].tolist()
    return red, green, blue


_FIRST_COLORS = (
    *("3cb44b", "ffe119", "4363d8", "f58231", "911eb4", "42d4f4", "f032e6", "bfef45", "fabed4"),
    *("469990", "dcbeff", "9a6324", "800000", "aaffc3", "808000", "ffd8b1", "000075", "fffac8"),
)
"""Trubetskoy's list of distinct colors (sashat.me/2017/01/11), without the red of errors and the gray of no label."""


@cache
def make_palette() -> NDArray[np.uint8]:
    """Return one RGB color per class index, (256, 3); gray for pixels that are not scored.

    After a list of distinct colors, each is the one that differs most from all before it and from the colors of text
    and errors, measured in CIELAB, where equal distances look equally different (Glasbey et al. 2007, "Colour displays
    for categorical images"). A class has the same color in every picture, so that those of two runs can be compared.
    """
    steps = np.linspace(0, 255, 16).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = _convert_to_lab(candidates)
    # neither too dark nor too light to be recognized over an image
    is_usable = (lab[:, 0] > 30) & (lab[:, 0] < 88)
    candidates, lab = candidates[is_usable], lab[is_usable]
    colors = np.full((256, 3), GRAY, np.uint8)
    first = len(_FIRST_COLORS)
    colors[:first] = [list(bytes.fromhex(color)) for color in _FIRST_COLORS]
    others = np.array([GRAY, RED, (0, 0, 0), (255, 255, 255)], np.uint8)
    taken = _convert_to_lab(np.concatenate([colors[:first], others]))
    nearest = np.min([np.linalg.norm(lab - color, axis=1) for color in taken], axis=0)
    for index in range(first, NO_CLASS_INDEX):
        chosen = int(nearest.argmax())
        colors[index] = candidates[chosen]
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[chosen], axis=1))
    return colors


def _convert_to_lab(colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor((colors / 255).astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0], np.float32)
