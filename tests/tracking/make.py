"""Small trackers for tests."""

from __future__ import annotations

from typing import Any

import torch

from backbones.create import create_backbone
from tracking.models.tracker_model import TrackerModel

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_tracker_model(
    backbone: str = "vit_nano", template: int = 64, search: int = 128, **settings: Any
) -> TrackerModel:
    torch.manual_seed(0)
    size = {"vit_nano": 32, "vit_pico": 32}.get(backbone, 224)
    vit = create_backbone(backbone, img_size=size, checkpoint="random", num_classes=0).model
    model = TrackerModel(vit, template, search, MEAN, STD, **settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # off the start, where norms are 1, biases 0 and tables empty
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=generator), alpha=0.1)
    return model.eval()


def make_images(size: int, number: int = 2, seed: int = 3) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(seed))
