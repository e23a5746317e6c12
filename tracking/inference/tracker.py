"""The tracker: crops, network and box decoding behind the interface of the got10k package."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import NonFiniteError, UserError
from tracking.data.boxes import BoxLike, FloatArray, clip_box, require_first_box
from tracking.data.crops import (
    CropWindow,
    ImageArray,
    crop_to_image_box,
    crop_window,
    make_crop_window,
    make_hann_window,
)
from tracking.data.pair import CropSizes

if TYPE_CHECKING:  # torch; the network may be behind another runtime
    from tracking.inference.backend import NumpyOutputs, TrackerNetwork


class Tracker:
    """Follows one target: call ``init`` with the first frame and its box, then ``update`` with every further frame.

    Images are RGB: arrays of bytes of shape (height, width, 3), or PIL images. Boxes are x, y, width, height in pixels,
    as floats. To follow several targets side by side, call ``crop_search_region`` and ``decode_box``, the two halves of
    ``update``, with one call of the network for all targets in between.

    Args:
        network: the trained network in some runtime.
        crop_sizes: sizes of the crops, as in training.
        name: name of the tracker for got10k's experiments.

    Attributes:
        confidence: highest score of the newest frame before windowing, from 0 to 1; 1 for the first frame.
        network_seconds: time that the network took for the newest frame, until its maps were available. If several
            targets share a call, only the caller knows it.
        encoded_template: what the network stores of the template; ``None`` before ``init``.
    """

    is_deterministic = True

    def __init__(self, network: TrackerNetwork, crop_sizes: CropSizes, name: str = "bench") -> None:
        self.network = network
        self.crop_sizes = crop_sizes
        self.name = name
        self.confidence = 1.0
        self.network_seconds = 0.0
        self.encoded_template: Any = None
        # float32 like the scores, so that their product is not computed in float64
        self.hann_window = make_hann_window(network.grid_size).astype(np.float32)
        self._box: FloatArray | None = None
        self._last_crop: tuple[CropWindow, int, int] | None = None

    def init(self, image: Any, box: BoxLike) -> None:
        """Start with a target in the first frame.

        Args:
            image: the first frame.
            box: x, y, width, height in pixels.

        Raises:
            DataError: the box has no area, is not finite, or lies outside the frame.
            UserError: the image is not an RGB image.
        """
        frame = to_rgb_array(image)
        self._box = require_first_box(box, frame.shape[1], frame.shape[0], "tracker")
        place = make_crop_window(self._box, self.crop_sizes.template_factor)
        crop = crop_window(frame, place, self.crop_sizes.template_size, self.crop_sizes.geometry)
        began = time.perf_counter()
        self.encoded_template = self.encode_first_crop(crop, self._box)
        self.network_seconds = time.perf_counter() - began
        self.confidence = 1.0

    def encode_first_crop(self, crop: ImageArray, box: FloatArray) -> Any:
        """Return what the network stores of the template.

        Args:
            crop: the template crop.
            box: the first box, x, y, width, height in pixels; for networks that use its shape.
        """
        return self.network.encode_template(crop)

    def make_sibling(self) -> Tracker:
        """Return a tracker for another target, with the same network and settings."""
        return type(self)(self.network, self.crop_sizes, self.name)

    def update(self, image: Any) -> FloatArray:
        """Find the target in the next frame.

        Args:
            image: the frame.

        Returns:
            x, y, width, height in pixels, shape (4,).

        Raises:
            UserError: ``init`` was not called, or the image is not an RGB image.
        """
        crop = self.crop_search_region(image)
        began = time.perf_counter()
        # a batch of one
        (maps,) = self.network.predict_maps([self.encoded_template], [crop])
        self.network_seconds = time.perf_counter() - began
        return self.decode_box(maps)

    def crop_search_region(self, image: Any) -> ImageArray:
        """Cut the search region of the next frame, around the newest box.

        Args:
            image: the frame.

        Returns:
            RGB, shape (search_size, search_size, 3).

        Raises:
            UserError: ``init`` was not called, or the image is not an RGB image.
        """
        if self._box is None:
            raise UserError("a tracker starts with init(image, box); call it before update(image)")
        frame = to_rgb_array(image)
        place = make_crop_window(self._box, self.crop_sizes.search_factor)
        self._last_crop = (place, frame.shape[1], frame.shape[0])
        return crop_window(frame, place, self.crop_sizes.search_size, self.crop_sizes.geometry)

    def decode_box(self, maps: NumpyOutputs) -> FloatArray:
        """Return the target's box from the maps of the region that ``crop_search_region`` returned.

        Args:
            maps: the outputs of the network for that region.

        Returns:
            x, y, width, height in pixels, shape (4,).

        Raises:
            NonFiniteError: an output is infinite or undefined; the maximum of such scores is at no place.
        """
        if not all(np.isfinite(values).all() for values in maps):
            raise NonFiniteError(f"the outputs of tracker {self.name} are not finite, so there is no box")
        assert self._box is not None and self._last_crop is not None
        place, width, height = self._last_crop
        # from the raw scores: the window would lower it for a target that has moved
        self.confidence = float(maps.score.max())
        box = crop_to_image_box(decode_best_box(maps, self.hann_window), self._box, place, self.crop_sizes.geometry)
        self._box = clip_box(box, width, height)
        # a copy, so that a caller who changes the box does not move the next search region
        return self._box.copy()


def decode_best_box(maps: NumpyOutputs, window: NDArray[np.float32]) -> list[float]:
    """Return the box at the cell with the highest weighted score, like ``center_head.decode_boxes`` but in numpy.

    Args:
        maps: the outputs of the network for one search region.
        window: weights of the cells, shape (G, G).

    Returns:
        Center x, center y, width and height as fractions of the crop's side.
    """
    grid, best = maps.score.shape[-1], maps.choose_cell(window)
    row, column = divmod(best.cell, grid)
    # x before y, as in the maps; float32 throughout, so that the result is the same as in torch
    corner = np.array([column, row], np.float32) + best.offset
    return [*(corner / np.float32(grid)).tolist(), *best.size.tolist()]


def to_rgb_array(image: Any) -> ImageArray:
    """Convert an image to an array of bytes of shape (height, width, 3).

    Args:
        image: a PIL image or an RGB array.

    Raises:
        UserError: it is neither.
    """
    array = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise UserError(
            f"a frame must be a PIL image or an RGB array of bytes, (height, width, 3), not {array.dtype} {array.shape}"
        )
    return array
