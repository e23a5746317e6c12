"""The correlation network behind the interface of ``tracking.inference.tracker``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tracking.correlation.network import CorrelationNetwork, EncodedTarget
from tracking.data.boxes import FloatArray
from tracking.data.crops import ImageArray
from tracking.inference.backend import NumpyHeadMaps, NumpyOutputs
from tracking.inference.tracker import Tracker


class ShapedTemplate(NamedTuple):
    """A template crop, and the shape of the target's box in it, which a crop alone does not tell.

    Attributes:
        crop: RGB, shape (side, side, 3).
        aspect_ratio: width / height of the target's box.
    """

    crop: ImageArray
    aspect_ratio: float


class CorrelationBackend:
    """A correlation network in PyTorch, in fp32.

    Args:
        model: the network; it is put into evaluation mode.
    """

    runtime = "torch"
    precision = "fp32"

    def __init__(self, model: CorrelationNetwork) -> None:
        self.model = model.eval()
        self.grid_size = model.grid_size
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def encode_template(self, template: ImageArray) -> EncodedTarget:
        """Return the features of a template whose target is as wide as it is high.

        Args:
            template: the template crop.
        """
        return self.encode_shaped(ShapedTemplate(template, 1.0))

    @torch.inference_mode()
    def encode_shaped(self, template: ShapedTemplate) -> EncodedTarget:
        """Return the features of a template.

        Args:
            template: the template crop with the shape of its target.
        """
        aspect_ratio = torch.tensor([template.aspect_ratio], dtype=torch.float32, device=self.device)
        return self.model.encode_target(self._prepare([template.crop]), aspect_ratio)

    @torch.inference_mode()
    def predict_maps(
        self, encoded_templates: Sequence[EncodedTarget], search_crops: Sequence[ImageArray]
    ) -> Sequence[NumpyOutputs]:
        """Return the maps of all search regions, computed in one forward pass.

        Args:
            encoded_templates: the encoded template of each target.
            search_crops: the search crop of each target.
        """
        targets = EncodedTarget(*(torch.cat(parts) for parts in zip(*encoded_templates, strict=True)))
        maps = self.model.find_target(targets, self._prepare(search_crops))
        score, size, offset = (values.cpu().numpy() for values in (maps.score.sigmoid(), maps.size, maps.offset))
        # the tracker counts offsets from a cell's corner, the network from its center
        return [NumpyHeadMaps(*each) for each in zip(score, size, offset + np.float32(0.5), strict=True)]

    def _prepare(self, crops: Sequence[ImageArray]) -> Tensor:
        return self.model.normalize_images(torch.from_numpy(np.stack(crops)).to(self.device).permute(0, 3, 1, 2))


class CorrelationTracker(Tracker):
    """A tracker that tells its network the shape of the first box."""

    network: CorrelationBackend

    def encode_first_crop(self, crop: ImageArray, box: FloatArray) -> EncodedTarget:
        """Return what the network stores of the template.

        Args:
            crop: the template crop.
            box: the first box, x, y, width, height in pixels.
        """
        return self.network.encode_shaped(ShapedTemplate(crop, float(box[2] / box[3])))
