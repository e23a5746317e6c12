"""Small backbones, pools and methods for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from backbones.create import create_backbone
from pretraining.data.gpu_augmentation import BatchPreprocessor
from pretraining.data.readers import ImagePool
from pretraining.method_registry import get_method_card
from pretraining.methods.build_method import MethodParts
from pretraining.methods.teacher import Teacher

HALF_MEAN = (0.5, 0.5, 0.5)
MINIMAL_RECIPE = {
    "epochs": 1,
    "batch_size": 4,
    "optimizer": {"name": "AdamW", "lr": 1e-3},
    "schedule": {"name": "cosine"},
    "loggers": [],
}


def make_pool(count: int = 8, img_size: int = 32) -> ImagePool:
    pixels = np.random.default_rng(0).integers(0, 256, (count, img_size, img_size, 3), dtype=np.uint8)
    return ImagePool("0" * 64, pixels, labels=[number % 2 for number in range(count)])


def make_method(
    name: str, backbone: str = "vit_nano", teacher: Teacher | None = None, size: int = 32, **changes: Any
) -> Any:
    """A method with random weights; ``arguments`` go to the backbone, all other changes into the recipe."""
    torch.manual_seed(0)
    arguments = changes.pop("arguments", {})
    card = get_method_card(name)
    recipe = card.load_recipe_class().model_validate(MINIMAL_RECIPE | changes)
    model = create_backbone(backbone, checkpoint="random", img_size=size, num_classes=0, **arguments).model
    feed = BatchPreprocessor(
        make_pool(img_size=size), recipe, size, HALF_MEAN, HALF_MEAN, getattr(recipe, "color_augmentation", None)
    )
    return card.load_builder()(MethodParts(model, backbone, True, feed, recipe, teacher))


def make_teacher(backbone: str = "vit_nano", size: int = 32, seed: int = 7, **arguments: Any) -> Teacher:
    """A teacher with random weights, made without a file."""
    torch.manual_seed(seed)
    made = object.__new__(Teacher)
    made.name = backbone
    made.model = create_backbone(backbone, checkpoint="random", img_size=size, num_classes=0, **arguments).model
    made.model.eval().requires_grad_(False)
    made._std_ratio = made._mean_offset = torch.zeros(3, 1, 1)
    made._same_normalization, made._packed = True, False
    made.mask_token = torch.randn(1, 1, made.model.embed_dim) if isinstance(made.model, SwinTransformer) else None
    return made


def compute_losses(method: Any, images: Tensor, seeds: Tensor) -> dict[str, float]:
    """The losses of a batch as numbers."""
    return {name: float(value.detach()) for name, value in method(images=images, seeds=seeds).items()}


def make_batch(count: int = 3, size: int = 32) -> tuple[Tensor, Tensor]:
    """Images and seeds."""
    torch.manual_seed(1)
    return torch.randn(count, 3, size, size), torch.arange(count) + 1000
