"""A backbone of the registry as mmseg's backbone: ``dict(type="BenchBackbone", name="vit_tiny", img_size=512)``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import CreatedBackbone, create_backbone
from backbones.features import default_out_indices, extract_pyramid, get_reductions, is_plain_backbone
from backbones.weights import InitialWeights
from engine.optimizer import get_layer_ids
from segmentation.models.mmseg_imports import MODELS


@MODELS.register_module()  # type: ignore[untyped-decorator,unused-ignore]
class BenchBackbone(nn.Module):
    """Feature maps of any backbone of the registry (or any ``timm/<name>``), not normalised.

    mmseg's own ``MAE`` and ``BEiT`` classes are no plain ViTs (they add relative position tables and LayerScale);
    here the weights decide, and position embeddings are resized at run time.

    Args:
        name: registry name, ``timm/<name>``, a card, or a backbone that ``create_backbone`` made: then it is taken as
            it is, and what follows of weights and arguments is not used.
        img_size: side, or height and width, of the training crop, pixels; plain ViTs take others at run time.
        out_indices: blocks (plain ViT) or stages whose maps are given, shallow to deep; the default depths if ``None``.
        checkpoint: a weight file, ``"random"``, weights as located, or nothing: then the card decides.
        allow_partial: accept a checkpoint that fills only part of the trunk.
        frozen: no gradients, eval mode throughout.
        timm_kwargs: for timm's ``create_model`` (``drop_path_rate`` ...).

    Attributes:
        trunk: the timm model.
        channels, strides: of each map.
        created_backbone: what ``create_backbone`` gave, with the load report.
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
            self.created_backbone = create_backbone(
                name,
                img_size=img_size,
                checkpoint=checkpoint,
                allow_partial=allow_partial,
                **{"num_classes": 0, **timm_kwargs},
            )
        self.trunk = self.created_backbone.model
        self.frozen = frozen
        self.out_indices = default_out_indices(self.trunk) if out_indices is None else list(out_indices)
        self.is_plain_vit = is_plain_backbone(self.trunk)
        self.strides = [get_reductions(self.trunk)[index] for index in self.out_indices]
        self.channels = self._probe_channels(img_size)
        if frozen:
            self.requires_grad_(False)

    def _probe_channels(self, img_size: int | tuple[int, int]) -> list[int]:
        """The maps' channels; parameters that no map depends on (the final norm) are taken out of training.

        Distributed training would wait for their gradients. Only shapes and connections matter, so the pass is made
        on the meta device, where it costs nothing.
        """
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        twin = copy.deepcopy(self.trunk).to("meta").eval()
        maps = extract_pyramid(twin, torch.zeros(1, 3, *size, device="meta"), self.out_indices)
        total = torch.stack([each.sum() for each in maps]).sum()
        gradients = torch.autograd.grad(total, list(twin.parameters()), allow_unused=True)
        for parameter, gradient in zip(self.trunk.parameters(), gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
        return [int(each.shape[1]) for each in maps]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """One (N, channels, height / stride, width / stride) a depth, of normalised images (N, 3, height, width)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return tuple(extract_pyramid(self.trunk, images, self.out_indices))

    def train(self, mode: bool = True) -> BenchBackbone:
        """As any module's, but a frozen backbone stays in eval mode."""
        super().train(mode and not self.frozen)
        return self

    def group_matcher(self, coarse: bool = False) -> Callable[[str], int]:
        """The depth of a parameter for layer-wise learning-rate decay: the trunk's own."""
        ids = get_layer_ids(self.trunk)
        return lambda name: ids[name.removeprefix("trunk.")]

    def no_weight_decay(self) -> set[str]:
        """The trunk's own."""
        ask: Any = getattr(self.trunk, "no_weight_decay", set)
        return {f"trunk.{name}" for name in ask()}
