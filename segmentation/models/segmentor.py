"""mmseg's EncoderDecoder around one of our backbones: built from a recipe, scored window by window."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.nn import functional

from backbones.card import BackboneCard
from backbones.features import get_size_divisor
from foundation.errors import UserError
from foundation.library_logs import silence_logging
from segmentation.data.labels import IGNORE_INDEX
from segmentation.evaluation import ImagePrediction
from segmentation.models import (
    backbone,  # registers them with mmseg
    necks,  # registers them with mmseg
)
from segmentation.models.mmseg_imports import EncoderDecoder
from segmentation.models.sliding_window import compute_slide_logits
from segmentation.recipe import SegmentationRecipe

__all__ = ["Segmentor", "build_segmentor", "necks"]


class Segmentor(EncoderDecoder):
    """Trains as mmseg's; segments an image at a time, with its windows batched, and argmax on the device."""

    recipe: SegmentationRecipe

    def val_step(self, data: Mapping[str, Any]) -> list[ImagePrediction]:
        """As ``test_step``."""
        return self.test_step(data)

    @torch.no_grad()
    def test_step(self, data: Mapping[str, Any]) -> list[ImagePrediction]:
        """Class numbers of every image of a batch, at the size of its truth."""
        return [
            ImagePrediction(
                int(item), self.segment_image(image, (int(truth.shape[0]), int(truth.shape[1]))).cpu(), truth
            )
            for image, truth, item in zip(data["inputs"], data["truth"], data["item"], strict=True)
        ]

    def segment_image(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Class numbers (height, width) of ``size`` for an image (3, h, w), uint8 BGR."""
        logits = self.compute_logits(self.data_preprocessor({"inputs": [image]}, False)["inputs"])
        if logits.shape[2:] != size:
            logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits[0].argmax(0).to(torch.uint8)

    def compute_logits(self, image: Tensor) -> Tensor:
        """Logits (1, classes, h, w) of a normalised image (1, 3, h, w), by windows or whole."""
        if self.recipe.test.mode == "slide":
            return compute_slide_logits(
                self._forward_windows, image, self.recipe.crop, self.recipe.test.stride, self.recipe.window_batch
            )
        height, width = int(image.shape[2]), int(image.shape[3])
        down, right = (
            -(-side // step) * step - side for side, step in zip((height, width), self._size_multiple, strict=True)
        )
        return self._forward_windows(functional.pad(image, (0, right, 0, down)))[:, :, :height, :width]

    @property
    def _size_multiple(self) -> tuple[int, int]:
        return get_size_divisor(self.backbone.trunk)

    def _forward_windows(self, images: Tensor) -> Tensor:
        logits: Tensor = self.encode_decode(images, [{"img_shape": images.shape[2:]}] * len(images))
        return logits


def build_segmentor(
    recipe: SegmentationRecipe,
    card: BackboneCard,
    num_classes: int,
    norm_type: str,
    checkpoint: str | None = None,
    allow_partial: bool = False,
    timm_kwargs: Mapping[str, Any] | None = None,
) -> Segmentor:
    """The model of a recipe; neck and heads freshly initialised as mmseg does, the backbone from its weights.

    Args:
        recipe: its ``model`` gives neck and heads.
        card: the backbone.
        num_classes: of the task.
        norm_type: ``BN`` or ``SyncBN``, for neck and heads.
        checkpoint, allow_partial: see ``create_backbone``.
        timm_kwargs: for timm's ``create_model``.
    """
    settings = {"img_size": recipe.crop, **(timm_kwargs or {})}
    trunk = backbone.BenchBackbone(
        card,
        out_indices=recipe.out_indices,
        checkpoint=checkpoint,
        allow_partial=allow_partial,
        frozen=recipe.frozen,
        **settings,
    )
    with DefaultScope.overwrite_default_scope("mmseg"), warnings.catch_warnings():
        # mmseg averages the loss over ignored pixels too, and says so at every start; the protocols are defined so
        warnings.filterwarnings("ignore", message=".*avg_non_ignore")
        model = Segmentor(
            backbone={"type": _prebuilt_module, "module": trunk},
            **_make_head_configs(recipe, trunk, num_classes, norm_type),
            data_preprocessor={
                "type": "SegDataPreProcessor",
                "mean": [255 * value for value in card.mean],
                "std": [255 * value for value in card.std],
                "bgr_to_rgb": True,
                "pad_val": 0,
                "seg_pad_val": IGNORE_INDEX,
                "size": (recipe.crop, recipe.crop),
            },
            test_cfg={"mode": recipe.test.mode},
        )
    model.recipe = recipe
    _initialize_heads(model)
    return model


def _initialize_heads(model: Segmentor) -> None:
    """mmseg's initial weights for neck and heads.

    Never through the model's own ``init_weights``: it would reach timm's and throw the loaded weights away.
    """
    with silence_logging(logging.INFO):  # mmengine lists every tensor
        for part in ("neck", "decode_head", "auxiliary_head"):
            init = getattr(getattr(model, part, None), "init_weights", None)
            if init is not None:
                init()


def _make_head_configs(
    recipe: SegmentationRecipe, bench_backbone: backbone.BenchBackbone, num_classes: int, norm_type: str
) -> dict[str, Any]:
    """Neck and heads with what follows from the backbone filled in."""
    norm_cfg = {"type": norm_type, "requires_grad": True}
    channels, parts = list(bench_backbone.channels), {}
    neck = recipe.model.get("neck")
    if neck is not None and bench_backbone.is_plain_vit:
        parts["neck"] = {**neck, "embed_dim": channels[0], "norm_cfg": norm_cfg}
        if "width_ratio" in neck:
            channels = [int(channels[0] * neck["width_ratio"])] * len(channels)
    for name in ("decode_head", "auxiliary_head"):
        head = recipe.model.get(name)
        if head is not None:
            index = head["in_index"]
            deepest = max(index) if isinstance(index, list) else index
            if deepest >= len(channels):
                raise UserError(
                    f"{type(bench_backbone.trunk).__name__} gives maps at {len(channels)} depths "
                    f"({bench_backbone.out_indices}), but the {name} reads {deepest + 1}; choose a deeper backbone, or "
                    f"set model.{name}.in_index"
                )
            inside = [channels[each] for each in index] if isinstance(index, list) else channels[index]
            parts[name] = {**head, "in_channels": inside, "num_classes": num_classes, "norm_cfg": norm_cfg}
    return parts


def _prebuilt_module(module: torch.nn.Module) -> torch.nn.Module:
    """A module that is there already, where mmseg builds one."""
    return module
