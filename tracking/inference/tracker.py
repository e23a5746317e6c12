"""The tracker: got10k's interface over a trained network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import UserError
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
    from tracking.inference.backend import NumpyHeadMaps, TrackerNetwork


class Tracker:
    """Follows one target: ``init`` with the first frame and its box, then ``update`` with every further frame.

    Images are RGB, a (height, width, 3) array of bytes or a PIL image. Boxes are x, y, w, h in pixels, floats.
    Where several targets are followed side by side, ``crop_search_region`` and ``decode_box`` are the two halves of
    ``update``, so that one call of the network serves all of them.

    Args:
        network: trained, behind some runtime.
        crop_sizes: of the crops, as in training.
        name: as got10k's experiments call it.

    Attributes:
        confidence: of the newest frame, 0 to 1: the highest score before windowing; 1 for the first frame.
        network_seconds: that the network took for the newest frame, its maps in hand; where several targets share a
            call, whoever calls knows.
        encoded_template: what the network keeps of the template, once ``init`` was called.
    """

    is_deterministic = True

    def __init__(self, network: TrackerNetwork, crop_sizes: CropSizes, name: str = "bench") -> None:
        self.network = network
        self.crop_sizes = crop_sizes
        self.name = name
        self.confidence = 1.0
        self.network_seconds = 0.0
        self.encoded_template: Any = None
        self.hann_window = make_hann_window(network.grid_size).astype(np.float32)
        self._box: FloatArray | None = None
        self._last_crop: tuple[CropWindow, int, int] | None = None

    def init(self, image: Any, box: BoxLike) -> None:
        """Take the target from the first frame.

        Raises:
            DataError: the box has no area, is not finite or lies outside the frame.
        """
        frame = to_rgb_array(image)
        self._box = require_first_box(box, frame.shape[1], frame.shape[0], "tracker")
        place = make_crop_window(self._box, self.crop_sizes.template_factor)
        crop = crop_window(frame, place, self.crop_sizes.template_size, self.crop_sizes.geometry)
        began = time.perf_counter()
        self.encoded_template = self.network.encode_template(crop)
        self.network_seconds = time.perf_counter() - began
        self.confidence = 1.0

    def update(self, image: Any) -> FloatArray:
        """The target's box in the next frame.

        Raises:
            UserError: ``init`` was not called.
        """
        crop = self.crop_search_region(image)
        began = time.perf_counter()
        (maps,) = self.network.predict_maps([self.encoded_template], [crop])
        self.network_seconds = time.perf_counter() - began
        return self.decode_box(maps)

    def crop_search_region(self, image: Any) -> ImageArray:
        """The search region of the next frame.

        Raises:
            UserError: ``init`` was not called.
        """
        if self._box is None:
            raise UserError("a tracker starts with init(image, box); call it before update(image)")
        frame = to_rgb_array(image)
        place = make_crop_window(self._box, self.crop_sizes.search_factor)
        self._last_crop = (place, frame.shape[1], frame.shape[0])
        return crop_window(frame, place, self.crop_sizes.search_size, self.crop_sizes.geometry)

    def decode_box(self, maps: NumpyHeadMaps) -> FloatArray:
        """The target's box by the maps of the region that ``crop_search_region`` gave."""
        assert self._box is not None and self._last_crop is not None
        place, width, height = self._last_crop
        self.confidence = float(maps.score.max())
        box = crop_to_image_box(decode_best_box(maps, self.hann_window), self._box, place, self.crop_sizes.geometry)
        self._box = clip_box(box, width, height)
        return self._box.copy()


def decode_best_box(maps: NumpyHeadMaps, window: NDArray[np.float32]) -> list[float]:
    """Centre x, centre y, w, h as shares of the crop, at the best cell of the weighted score (``head.decode``)."""
    grid = maps.score.shape[-1]
    row, column = divmod(int((maps.score * window).argmax()), grid)
    corner = np.array([column, row], np.float32) + maps.offset[:, row, column]
    return [*(corner / np.float32(grid)).tolist(), *maps.size[:, row, column].tolist()]


def to_rgb_array(image: Any) -> ImageArray:
    """An image as (height, width, 3) bytes.

    Raises:
        UserError: it is something else.
    """
    array = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise UserError(
            f"a frame is a PIL image or an RGB array of bytes, (height, width, 3), not {array.dtype} {array.shape}"
        )
    return array
