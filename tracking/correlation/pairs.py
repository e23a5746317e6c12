"""Training pairs for the correlation network: photograph pairs with the target's shape, in many colors and turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from tracking.data.boxes import FloatArray
from tracking.data.crops import ImageArray
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.synthetic_pairs import PhotoPairSampler


class ShapedPair(NamedTuple):
    """One training pair and the shape of the target in its template.

    Attributes:
        template: template crop, RGB, shape (side, side, 3).
        search: search crop, RGB, shape (side, side, 3).
        box: x, y, width, height of the target as fractions of the search crop's side, shape (4,).
        aspect_ratio: width / height of the target's box in the template.
    """

    template: ImageArray
    search: ImageArray
    box: FloatArray
    aspect_ratio: float


class ShapedPairSampler(PhotoPairSampler):
    """Draws photograph pairs, and mirrors and transposes both crops of a pair at random.

    Args:
        photos: at least two photographs, RGB, shape (height, width, 3) each.
        sizes: sizes of the crops.
        jitter: random displacement of the search region.
        num_variants: copies of each photograph in other colors, see ``make_color_variant``.
    """

    # real targets turn further between two frames that are seconds apart
    turn_deviation = 0.45

    def __init__(
        self, photos: Sequence[ImageArray], sizes: CropSizes, jitter: SearchJitter, num_variants: int = 5
    ) -> None:
        colored = [
            make_color_variant(np.random.default_rng((number, variant)), photo)
            for number, photo in enumerate(photos)
            for variant in range(num_variants)
        ]
        super().__init__([*photos, *colored], sizes, jitter)

    def sample_shaped_pair(self, rng: np.random.Generator) -> ShapedPair:
        """Draw one pair; the same pair for the same state of ``rng``.

        Args:
            rng: random generator.
        """
        scene = self._sample_scene(rng)
        pair = self._render_pair(rng, scene)
        width, height = scene.target_boxes[0][2:]
        return turn_pair(rng, ShapedPair(pair.template, pair.search, pair.box, float(width / height)))


def make_color_variant(rng: np.random.Generator, photo: ImageArray) -> ImageArray:
    """Return a photograph with exchanged channels, each with a gamma of its own, and inverted in three of ten cases.

    A dozen photographs have few colors; a tracker that learned from them alone could take a color for the target.

    Args:
        rng: random generator.
        photo: RGB, shape (height, width, 3).
    """
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.35, 3))
    if rng.random() < 0.3:
        levels = levels[::-1]
    table = (levels * 255 + 0.5).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(np.ascontiguousarray(photo[..., rng.permutation(3)]), table), np.uint8)


def turn_pair(rng: np.random.Generator, pair: ShapedPair) -> ShapedPair:
    """Mirror both crops, each axis in half of the cases, and exchange their axes in half of the cases.

    Args:
        rng: random generator.
        pair: the pair.
    """
    template, search, (x, y, w, h), aspect_ratio = pair
    mirror_x, mirror_y, transpose = rng.random(3) < 0.5
    if mirror_x:
        template, search, x = template[:, ::-1], search[:, ::-1], 1 - x - w
    if mirror_y:
        template, search, y = template[::-1], search[::-1], 1 - y - h
    if transpose:
        template, search = template.transpose(1, 0, 2), search.transpose(1, 0, 2)
        x, y, w, h, aspect_ratio = y, x, h, w, 1 / aspect_ratio
    return ShapedPair(template, search, np.array([x, y, w, h]), aspect_ratio)
