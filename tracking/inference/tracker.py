"""The tracker: got10k's interface over a trained network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import UserError
from tracking.data.boxes import BoxLike, Floats, clip_box, require_first_box
from tracking.data.crops import Image, Window, cut, from_crop, hann, window
from tracking.data.pair import CropSizes

if TYPE_CHECKING:  # torch; the network may be behind another runtime
    from tracking.inference.backend import Maps, Network


class Tracker:
    """Follows one target: ``init`` with the first frame and its box, then ``update`` with every further frame.

    Images are RGB, a (height, width, 3) array of bytes or a PIL image. Boxes are x, y, w, h in pixels, floats.
    Where several targets are followed side by side, ``search`` and ``settle`` are the two halves of ``update``, so
    that one call of the network serves all of them.

    Args:
        network: trained, behind some runtime.
        sizes: of the crops, as in training.
        name: as got10k's experiments call it.

    Attributes:
        confidence: of the newest frame, 0 to 1: the highest score before windowing; 1 for the first frame.
        seconds: that the network took for the newest frame, its maps in hand; where several targets share a call,
            whoever calls knows.
        memory: what the network keeps of the template, once ``init`` was called.
    """

    is_deterministic = True

    def __init__(self, network: Network, sizes: CropSizes, name: str = "bench") -> None:
        self.network = network
        self.sizes = sizes
        self.name = name
        self.confidence = 1.0
        self.seconds = 0.0
        self.memory: Any = None
        self.window = hann(network.grid).astype(np.float32)
        self._box: Floats | None = None
        self._seen: tuple[Window, int, int] | None = None

    def init(self, image: Any, box: BoxLike) -> None:
        """Take the target from the first frame.

        Raises:
            DataError: the box has no area, is not finite or lies outside the frame.
        """
        frame = rgb(image)
        self._box = require_first_box(box, frame.shape[1], frame.shape[0], "tracker")
        place = window(self._box, self.sizes.template_factor)
        crop = cut(frame, place, self.sizes.template_size, self.sizes.geometry)
        began = time.perf_counter()
        self.memory = self.network.remember(crop)
        self.seconds = time.perf_counter() - began
        self.confidence = 1.0

    def update(self, image: Any) -> Floats:
        """The target's box in the next frame.

        Raises:
            UserError: ``init`` was not called.
        """
        crop = self.search(image)
        began = time.perf_counter()
        (maps,) = self.network.look([self.memory], [crop])
        self.seconds = time.perf_counter() - began
        return self.settle(maps)

    def search(self, image: Any) -> Image:
        """The search region of the next frame.

        Raises:
            UserError: ``init`` was not called.
        """
        if self._box is None:
            raise UserError("a tracker starts with init(image, box); call it before update(image)")
        frame = rgb(image)
        place = window(self._box, self.sizes.search_factor)
        self._seen = (place, frame.shape[1], frame.shape[0])
        return cut(frame, place, self.sizes.search_size, self.sizes.geometry)

    def settle(self, maps: Maps) -> Floats:
        """The target's box by the maps of the region that ``search`` gave."""
        assert self._box is not None and self._seen is not None
        place, width, height = self._seen
        self.confidence = float(maps.score.max())
        box = from_crop(best_box(maps, self.window), self._box, place, self.sizes.geometry)
        self._box = clip_box(box, width, height)
        return self._box.copy()


def best_box(maps: Maps, weights: NDArray[np.float32]) -> list[float]:
    """Centre x, centre y, w, h as shares of the crop, at the best cell of the weighted score (``head.decode``)."""
    grid = maps.score.shape[-1]
    row, column = divmod(int((maps.score * weights).argmax()), grid)
    corner = np.array([column, row], np.float32) + maps.offset[:, row, column]
    return [*(corner / np.float32(grid)).tolist(), *maps.size[:, row, column].tolist()]


def rgb(image: Any) -> Image:
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
