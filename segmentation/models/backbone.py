"""Wraps a registered backbone as a backbone of mmseg.

An mmseg configuration outside of ``bench`` can use it too:
``dict(type="BenchBackbone", name="vit_tiny", img_size=512)``, once this module is imported. The import also registers
``BenchLayerDecayConstructor``, layer-wise learning-rate decay for it (docs/guides/mmseg_config.py uses both).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from timm.layers import PatchEmbed
from torch import Tensor, nn
from torch.nn import functional

from backbones.card import BackboneCard
from backbones.create import CreatedBackbone, create_backbone
from backbones.features import (
    default_out_indices,
    extract_pyramid,
    get_reductions,
    get_size_divisor,
    is_plain_backbone,
)
from backbones.refusals import PatchSizeError
from backbones.weights import InitialWeights
from engine.optimizer import get_layer_ids
from segmentation.models import layer_decay  # registers BenchLayerDecayConstructor with mmseg
from segmentation.models.mmseg_imports import MODELS

__all__ = ["BenchBackbone", "layer_decay"]


@MODELS.register_module()  # type: ignore[untyped-decorator,unused-ignore]
class BenchBackbone(nn.Module):
    """Returns feature maps of any registered backbone (or any ``timm/<name>``), without a final norm.

    mmseg's own ``MAE`` and ``BEiT`` classes are not plain ViTs: they always add relative position tables and
    LayerScale. Here a model has these parts only if its weights have them. Position embeddings are resized at run time.

    Args:
        name: registry name, ``timm/<name>``, a card, or a backbone that ``create_backbone`` made: it is used as it is,
            and the arguments about weights and model that follow are not used.
        img_size: side, or height and width, of the training crop, pixels; plain ViTs take other sizes at run time. If
            the patch does not divide it, it is rounded up.
        out_indices: indices of the blocks (plain ViT) or stages whose maps are returned, shallow to deep; ``None``
            takes the default depths.
        checkpoint: path of a weight file, ``"random"``, weights as located; with ``None`` the card decides.
        allow_partial: accept a checkpoint that fills only part of the trunk.
        frozen: compute no gradients and stay in eval mode.
        timm_kwargs: arguments of timm's ``create_model``, such as ``drop_path_rate``.

    Attributes:
        trunk: the timm model.
        channels: channels of each map.
        strides: stride of each map, pixels.
        is_plain_vit: whether all maps have the same stride.
        created_backbone: the result of ``create_backbone``, with the load report.
    """

    def __init__(
        self,
        name: str | BackboneCard | CreatedBackbone,
        img_size: int | tuple[int, int],
        out_indices: Sequence[int] | None = None,
        checkpoint: str | InitialWeights | None = None,
        allow_partial: bool = False,
        frozen: bool = False,
        **timm_kwargs: Any,
    ) -> None:
        super().__init__()
        if isinstance(name, CreatedBackbone):
            self.created_backbone = name
        else:
            settings = {"checkpoint": checkpoint, "allow_partial": allow_partial, "num_classes": 0, **timm_kwargs}
            try:
                self.created_backbone = create_backbone(name, img_size=img_size, **settings)
            except PatchSizeError as error:  # forward fills images up
                img_size = _round_up(_get_both_sides(img_size), error.patch)
                self.created_backbone = create_backbone(name, img_size=img_size, **settings)
        self.trunk = self.created_backbone.model
        self.frozen = frozen
        self.out_indices = default_out_indices(self.trunk) if out_indices is None else list(out_indices)
        self.is_plain_vit = is_plain_backbone(self.trunk)
        self.strides = [get_reductions(self.trunk)[index] for index in self.out_indices]
        self.channels = self._probe_channels(img_size)
        if frozen:
            self.requires_grad_(False)  # after _probe_channels, which turns gradients on for what the maps use

    @torch.enable_grad()
    def _probe_channels(self, img_size: int | tuple[int, int]) -> list[int]:
        """Return the channels of each map, and exclude parameters that no map depends on from training.

        Such a parameter (that of the final norm, for example) never gets a gradient, and distributed training would
        wait for it forever.
        """
        # only shapes and connections matter here, so the forward pass runs on the meta device, which computes nothing
        size = _get_both_sides(img_size)
        twin = copy.deepcopy(self.trunk).to("meta").eval()
        maps = extract_pyramid(twin, torch.zeros(1, 3, *size, device="meta"), self.out_indices)
        # a scalar that depends on every map: allow_unused gives None for the parameters that it does not depend on
        total = torch.stack([each.sum() for each in maps]).sum()
        gradients = torch.autograd.grad(total, list(twin.parameters()), allow_unused=True)
        for parameter, gradient in zip(self.trunk.parameters(), gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
        return [int(each.shape[1]) for each in maps]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps.

        Images of a size that the trunk does not take are filled up with 0 (the mean color) at the right and bottom, as
        mmseg's own ViTs do: to the next multiple of the patch, or to the only size that the trunk was made for.

        Args:
            images: normalized images, (batch, 3, height, width).

        Returns:
            One map (batch, channels, height / stride, width / stride) per index in ``out_indices``, rounded up.
        """
        height, width = int(images.shape[2]), int(images.shape[3])
        rows, columns = self._choose_input_size((height, width))
        padded = functional.pad(images, (0, columns - width, 0, rows - height))
        # a frozen trunk also keeps no activations, which saves most of the memory
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = extract_pyramid(self.trunk, padded, self.out_indices)
        if (rows, columns) == (height, width):
            return tuple(maps)
        # -(-a // b) rounds a / b up: a cell that has a pixel of the image stays
        return tuple(
            each[:, :, : -(-height // stride), : -(-width // stride)]
            for each, stride in zip(maps, self.strides, strict=True)
        )

    def _choose_input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width to which images of a size are filled up, pixels."""
        embed = getattr(self.trunk, "patch_embed", None)
        made = embed.img_size if isinstance(embed, PatchEmbed) and embed.strict_img_size else None
        if made is not None and size[0] <= made[0] and size[1] <= made[1]:
            return int(made[0]), int(made[1])
        return _round_up(size, get_size_divisor(self.trunk))

    def train(self, mode: bool = True) -> BenchBackbone:
        """Switch between training and eval mode; a frozen backbone stays in eval mode."""
        super().train(mode and not self.frozen)
        return self

    def group_matcher(self, coarse: bool = False) -> Callable[[str], int]:
        """Return a function that maps a parameter's name to its layer index, for layer-wise learning-rate decay.

        Args:
            coarse: part of timm's interface; not used here.
        """
        ids = get_layer_ids(self.trunk)
        return lambda name: ids[name.removeprefix("trunk.")]

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that timm excludes from weight decay, with the prefix ``trunk.``."""
        ask: Any = getattr(self.trunk, "no_weight_decay", set)
        return {f"trunk.{name}" for name in ask()}


def _get_both_sides(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _round_up(size: tuple[int, int], steps: tuple[int, int]) -> tuple[int, int]:
    """Return height and width as the next multiples of ``steps``, pixels."""
    return -(-size[0] // steps[0]) * steps[0], -(-size[1] // steps[1]) * steps[1]
