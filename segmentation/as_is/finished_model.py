"""A finished segmentation model, wherever it came from: how it segments an image, and what a record says about it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from results.records.record import BackboneRecord
from segmentation.models.pixel_classes import PixelClasses, classify_pixels
from segmentation.models.sliding_window import Network, Normalizer, Size, WindowSettings, compute_window_logits


class PreparedImage(NamedTuple):
    """An image as its model takes it: pixels (3, h, w) before ``normalize``, and height and width of its file."""

    pixels: Tensor
    size: Size


@dataclass(frozen=True)
class FinishedSegmentor:
    """A finished segmentation model.

    Attributes:
        model: the whole model; called with normalized images it returns logits.
        network: what computes the logits: the model, or what was exported from it.
        prepare: reads an image file and resizes it as the model wants it.
        normalize: normalizes pixels and moves them to the device.
        windows: how an image is cut into windows.
        align_corners: as in ``torch.nn.functional.interpolate``, where logits are enlarged.
        num_classes: number of classes.
        class_names: their names; empty if they are not known.
        first_label: value of the first class in the label files that it was trained on; ``None`` if that is not known.
        input_size: height and width of what its network gets at once, pixels, for counts and timings.
        record: the model as a record describes it.
        test_mode: how an image is segmented, in words.
        segment_by_itself: segments an image file by the model's own code, which bench does not repeat (mmseg's test
            with several scales, for example); ``None`` where bench follows it exactly.
    """

    model: nn.Module
    network: Network
    prepare: Callable[[Path], PreparedImage]
    normalize: Normalizer
    windows: WindowSettings
    align_corners: bool
    num_classes: int
    class_names: Sequence[str]
    first_label: int | None
    input_size: Size
    record: BackboneRecord
    test_mode: str
    segment_by_itself: Callable[[Path], PixelClasses] | None = None

    @torch.no_grad()
    def segment_file(self, path: Path) -> PixelClasses:
        """Predict the class of every pixel of an image file, at the file's own size, on the CPU."""
        if self.segment_by_itself is not None:
            found = self.segment_by_itself(path)
        else:
            pixels, size = self.prepare(path)
            windows = compute_window_logits(self.network, self.normalize, pixels, self.windows)
            image_size = (int(pixels.shape[1]), int(pixels.shape[2]))
            found = classify_pixels(windows, image_size, size, self.align_corners)
        return PixelClasses(found.labels.cpu(), found.is_finite)


def drop_training_parts(model: nn.Module) -> nn.Module:
    """Return a copy of a segmentor without its auxiliary heads, which only add losses to a training."""
    twin = copy.copy(model)
    twin._modules = {name: part for name, part in model._modules.items() if name != "auxiliary_head"}
    return twin
