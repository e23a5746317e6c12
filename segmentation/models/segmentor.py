"""mmseg's ``EncoderDecoder`` with one of our backbones: how it is built from a recipe, and how it segments an image."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import CreatedBackbone
from backbones.features import get_size_divisor
from foundation.display_text import format_one_line, shorten_value
from foundation.errors import ConfigError, UserError
from foundation.library_logs import silence_logging
from segmentation.data.labels import IGNORE_INDEX
from segmentation.evaluation import ImagePrediction
from segmentation.models import (
    backbone,  # registers BenchBackbone with mmseg
    necks,  # registers ScaledPyramid and LinearHead with mmseg
)
from segmentation.models.exact_backward import use_exact_gradients
from segmentation.models.mmseg_imports import EncoderDecoder
from segmentation.models.pixel_classes import PixelClasses, classify_pixels
from segmentation.models.sliding_window import Size, WindowLogits, WindowSettings, compute_window_logits
from segmentation.recipe import SegmentationRecipe

__all__ = ["Segmentor", "build_segmentor", "necks"]


class Segmentor(EncoderDecoder):
    """Trains as mmseg's ``EncoderDecoder`` does, but segments images with batched windows.

    Images of a batch are segmented one after the other, because they differ in size, and each of them piece by piece
    (``segmentation.models.pixel_classes``).

    Attributes:
        recipe: the settings of the protocol; set by ``build_segmentor``.
    """

    recipe: SegmentationRecipe

    def loss(self, inputs: Tensor, data_samples: Any) -> dict[str, Tensor]:
        """Compute the losses of a batch as mmseg does, with gradients that are the same in every run on a GPU.

        Args:
            inputs: normalized images, shape (N, 3, height, width).
            data_samples: mmseg's samples with the true labels.
        """
        with use_exact_gradients(inputs.device):
            losses: dict[str, Tensor] = super().loss(inputs, data_samples)
        return losses

    def val_step(self, data: Mapping[str, Any]) -> list[ImagePrediction]:
        """Segment the images of a validation batch in the same way as ``test_step``."""
        return self.test_step(data)

    def test_step(self, data: Mapping[str, Any]) -> list[ImagePrediction]:
        """Segment the images of a batch.

        Args:
            data: lists of ``inputs`` (3, h, w) uint8 BGR, ``truth`` (height, width), and ``item`` (image index).

        Returns:
            One prediction per image, at the size of its truth.
        """
        predictions = []
        for image, truth, item in zip(data["inputs"], data["truth"], data["item"], strict=True):
            labels, is_finite = self.classify_image(image, (int(truth.shape[0]), int(truth.shape[1])))
            predictions.append(ImagePrediction(int(item), labels.cpu(), truth, is_finite))
        return predictions

    @torch.no_grad()
    def classify_image(self, image: Tensor, size: Size) -> PixelClasses:
        """Predict the class of every pixel.

        Args:
            image: (3, h, w), uint8 BGR.
            size: height and width of the prediction, pixels.
        """
        image_size = (int(image.shape[1]), int(image.shape[2]))
        return classify_pixels(self.compute_windows(image), image_size, size)

    def compute_windows(self, image: Tensor) -> Iterator[WindowLogits]:
        """Compute the logits of the windows of an image (3, h, w), uint8 BGR, in the recipe's inference mode."""
        return compute_window_logits(self, self.normalize, image, self.window_settings)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalize pixels (3, h, w), uint8 BGR, on the model's device."""
        normalized: Tensor = self.data_preprocessor({"inputs": [pixels]}, False)["inputs"][0]
        return normalized

    @property
    def window_settings(self) -> WindowSettings:
        """How an image is cut into windows, and what these are filled up to."""
        return make_window_settings(self.recipe, get_size_divisor(self.backbone.trunk))


def make_window_settings(recipe: SegmentationRecipe, divisor: Size) -> WindowSettings:
    """Return how an image is cut into windows.

    Args:
        recipe: gives the mode, the size of the windows and their distance.
        divisor: numbers of pixels that height and width of what the backbone gets must be multiples of.
    """
    if recipe.test.mode == "whole":
        return WindowSettings(None, divisor=divisor)
    stride = recipe.test.stride
    return WindowSettings(
        (recipe.crop, recipe.crop), (stride, stride), recipe.window_batch, is_filled_up=True, divisor=divisor
    )


def pad_to_patch(size: tuple[int, int], trunk: nn.Module) -> tuple[int, int]:
    """Return height and width rounded up to the next multiples of a backbone's patch, pixels."""
    rows, columns = get_size_divisor(trunk)
    return -(-size[0] // rows) * rows, -(-size[1] // columns) * columns


def build_segmentor(
    recipe: SegmentationRecipe,
    card: BackboneCard,
    num_classes: int,
    norm_type: str,
    checkpoint: str | None = None,
    allow_partial: bool = False,
    timm_kwargs: Mapping[str, Any] | None = None,
    created: CreatedBackbone | None = None,
) -> Segmentor:
    """Build the model of a recipe: the backbone with its weights, neck and heads with mmseg's random initialization.

    Args:
        recipe: its ``model`` describes neck and heads.
        card: the backbone.
        num_classes: number of classes of the data set.
        norm_type: ``BN`` or ``SyncBN``, for neck and heads.
        checkpoint: path of a weight file, ``"random"``, or ``None`` (the card decides); see ``create_backbone``.
        allow_partial: accept a checkpoint that fills only part of the trunk; see ``create_backbone``.
        timm_kwargs: arguments of timm's ``create_model``.
        created: the backbone itself, where it was made before; the three arguments above are then not used.

    Raises:
        UserError: the backbone has fewer maps than a head reads.
    """
    # a backbone that was made before was made for the padded crop
    made = (recipe.crop, recipe.crop) if created is None else pad_to_patch((recipe.crop, recipe.crop), created.model)
    settings = {"img_size": made, **(timm_kwargs or {})}
    trunk = backbone.BenchBackbone(
        created or card,
        out_indices=recipe.out_indices,
        checkpoint=checkpoint,
        allow_partial=allow_partial,
        frozen=recipe.frozen,
        **settings,
    )
    with DefaultScope.overwrite_default_scope("mmseg"), warnings.catch_warnings(), _translate_build_errors():
        # mmseg averages the loss over ignored pixels too and warns about it at every start; the protocols want it so
        warnings.filterwarnings("ignore", message=".*avg_non_ignore")
        model = Segmentor(
            # mmseg builds every part from a dict; a function that returns its argument hands over the finished trunk
            backbone={"type": _prebuilt_module, "module": trunk},
            **_make_head_configs(recipe, trunk, num_classes, norm_type),
            data_preprocessor={
                "type": "SegDataPreProcessor",
                # cards state mean and deviation for pixels in 0 to 1, OpenCV's pixels are in 0 to 255
                "mean": [255 * value for value in card.mean],
                "std": [255 * value for value in card.std],
                "bgr_to_rgb": True,
                "pad_val": 0,  # padded after normalization, so 0 is the mean color
                "seg_pad_val": IGNORE_INDEX,
                # of a crop that the patch does not divide, the padding is not trained on
                "size": pad_to_patch((recipe.crop, recipe.crop), trunk.trunk),
            },
            test_cfg={"mode": recipe.test.mode},  # for mmseg's own code; compute_logits reads the recipe
        )
    model.recipe = recipe
    _initialize_heads(model)
    return model


@contextmanager
def _translate_build_errors() -> Iterator[None]:
    """Replace what mmseg raises about a neck or head that cannot be built by a sentence for users.

    Raises:
        ConfigError: it cannot be built.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AssertionError, AttributeError, IndexError, NotImplementedError) as error:
        reason = format_one_line(str(error)) or type(error).__name__
        raise ConfigError(
            f"mmseg cannot build neck and heads of these settings ({shorten_value(reason)}); correct --set model..."
        ) from error


def _initialize_heads(model: Segmentor) -> None:
    """Give neck and heads mmseg's initial weights.

    The model's own ``init_weights`` is never called: it would also call timm's and so destroy the loaded weights.
    """
    with silence_logging(logging.INFO):  # mmengine lists every tensor
        for part in ("neck", "decode_head", "auxiliary_head"):
            init = getattr(getattr(model, part, None), "init_weights", None)
            if init is not None:
                init()


def _make_head_configs(
    recipe: SegmentationRecipe, bench_backbone: backbone.BenchBackbone, num_classes: int, norm_type: str
) -> dict[str, Any]:
    """Return mmseg's configurations of neck and heads, with channels, classes and norm layers filled in.

    Raises:
        UserError: the backbone has fewer maps than a head reads.
    """
    norm_cfg = {"type": norm_type, "requires_grad": True}
    channels, parts = list(bench_backbone.channels), {}
    neck = recipe.model.get("neck")
    # a hierarchical backbone has maps of strides 4 to 32 already, so it goes without the neck
    if neck is not None and bench_backbone.is_plain_vit:
        parts["neck"] = {**neck, "embed_dim": channels[0], "norm_cfg": norm_cfg}
        if "width_ratio" in neck:  # ScaledPyramid changes the width, mmseg's Feature2Pyramid keeps it
            channels = [int(channels[0] * neck["width_ratio"])] * len(channels)
    for name in ("decode_head", "auxiliary_head"):
        head = recipe.model.get(name)
        if head is not None:
            index = head["in_index"]  # one map, or a list of maps
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
    """Return the module unchanged: a constructor for mmseg where the part exists already."""
    return module
