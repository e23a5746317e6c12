"""The tracker: got10k's interface over a trained network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from foundation.errors import UserError
from tracking.boxes import BoxLike, Floats, clip_box, require_first_box
from tracking.crops import Image, cut, from_crop, hann, window
from tracking.head import decode
from tracking.model import TrackerModel
from tracking.pair import CropSizes


class Tracker:
    """Follows one target: ``init`` with the first frame and its box, then ``update`` with every further frame.

    Images are RGB, a (height, width, 3) array of bytes or a PIL image. Boxes are x, y, w, h in pixels, floats.

    Args:
        model: the network, on its device; it is put in evaluation mode.
        sizes: of the crops, as in training.
        name: as got10k's experiments call it.

    Attributes:
        confidence: of the newest frame, 0 to 1: the highest score before windowing; 1 for the first frame.
    """

    is_deterministic = True

    def __init__(self, model: TrackerModel, sizes: CropSizes, name: str = "bench") -> None:
        self.model = model.eval()
        self.sizes = sizes
        self.name = name
        self.confidence = 1.0
        device = next(model.parameters()).device
        self.window = torch.from_numpy(hann(model.backbone.search_grid)).float().to(device)
        self._box: Floats | None = None
        self._template: Any = None

    @torch.inference_mode()
    def init(self, image: Any, box: BoxLike) -> None:
        """Take the target from the first frame.

        Raises:
            DataError: the box has no area, is not finite or lies outside the frame.
        """
        frame = rgb(image)
        self._box = require_first_box(box, frame.shape[1], frame.shape[0], "tracker")
        place = window(self._box, self.sizes.template_factor)
        crop = self._prepared(cut(frame, place, self.sizes.template_size, self.sizes.geometry))
        self._template = self.model.remember(crop) if self.model.backbone.own else crop
        self.confidence = 1.0

    @torch.inference_mode()
    def update(self, image: Any) -> Floats:
        """The target's box in the next frame.

        Raises:
            UserError: ``init`` was not called.
        """
        if self._box is None:
            raise UserError("a tracker starts with init(image, box); call it before update(image)")
        frame = rgb(image)
        place = window(self._box, self.sizes.search_factor)
        search = self._prepared(cut(frame, place, self.sizes.search_size, self.sizes.geometry))
        if self.model.backbone.own:
            maps = self.model.recall(self._template, search)
        else:
            maps = self.model(self._template, search)
        (predicted,) = decode(maps.score * self.window, maps).tolist()
        self.confidence = float(maps.score.max())
        box = from_crop(predicted, self._box, place, self.sizes.geometry)
        self._box = clip_box(box, frame.shape[1], frame.shape[0])
        return self._box.copy()

    def _prepared(self, crop: Image) -> Tensor:
        pixels = torch.from_numpy(crop).permute(2, 0, 1)[None].to(self.window.device)
        prepared: Tensor = self.model.normalised(pixels)
        return prepared


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
