"""Any registered backbone as the trunk of a detector: what maps it gives, and with which strides."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from timm.layers import PatchEmbed
from timm.utils.model import freeze_batch_norm_2d
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from backbones.build_model import build_model
from backbones.card import BackboneCard
from backbones.create import CreatedBackbone
from backbones.features import extract_pyramid, get_reductions, get_size_divisor, is_plain_backbone
from backbones.weights import MEMORY_ARCHITECTURE
from detection.models.plain_vit import WindowedViT, takes_windows
from detection.models.pyramid import SimplePyramid, StagePyramid
from detection.recipe import DetectionRecipe, DetectorSettings
from engine.optimizer import get_layer_ids
from foundation.errors import UserError

_LEVEL_STRIDES = (4, 8, 16, 32)


class StagedBackbone(nn.Module):
    """Returns maps of a trunk as timm computes them: of the stages, or of the last block of a ViT without windows.

    Batch norms keep the statistics and the scales of the pre-training, as in detectron2 and torchvision: the few images
    of a micro-batch give no usable ones.

    Args:
        trunk: a timm model.
        size: side of the square images in pixels.
        out_indices: stages or blocks whose maps are returned, shallow to deep.
        strides: of these maps in pixels.

    Attributes:
        trunk: the timm model.
        channels: of each map.
        strides: of each map in pixels.
    """

    trunk: Any

    def __init__(self, trunk: nn.Module, size: int, out_indices: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.trunk = freeze_batch_norm_2d(trunk)
        self.out_indices, self.strides = list(out_indices), list(strides)
        self.channels = self._exclude_unused(size)

    @torch.enable_grad()
    def _exclude_unused(self, size: int) -> list[int]:
        """Exclude parameters that no map depends on from training; return the channels of the maps."""
        # only shapes and connections matter here, so the forward pass runs on the meta device, which computes nothing
        twin = copy.deepcopy(self.trunk).to("meta").eval()
        images = torch.zeros(1, 3, *self._choose_sides((size, size)), device="meta")
        maps = extract_pyramid(twin, images, self.out_indices)
        # a scalar that depends on every map: allow_unused gives None for the parameters that it does not depend on
        total = torch.stack([each.sum() for each in maps]).sum()
        gradients = torch.autograd.grad(total, list(twin.parameters()), allow_unused=True)
        for parameter, gradient in zip(self.trunk.parameters(), gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
        return [int(each.shape[1]) for each in maps]

    def _choose_sides(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width to which images of a size are filled up, pixels."""
        embed = getattr(self.trunk, "patch_embed", None)
        made = embed.img_size if isinstance(embed, PatchEmbed) and embed.strict_img_size else None
        if made is not None and size[0] <= made[0] and size[1] <= made[1]:
            return int(made[0]), int(made[1])
        steps = get_size_divisor(self.trunk)
        return -(-size[0] // steps[0]) * steps[0], -(-size[1] // steps[1]) * steps[1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the maps.

        Args:
            images: normalized images, (batch, 3, height, width); filled up with zeros to a size that the trunk takes.
        """
        height, width = int(images.shape[2]), int(images.shape[3])
        rows, columns = self._choose_sides((height, width))
        return extract_pyramid(
            self.trunk, functional.pad(images, (0, columns - width, 0, rows - height)), self.out_indices
        )


class DetectionBackbone(nn.Module):
    """A trunk with what a detector needs around it; frozen or trained.

    Args:
        created: the backbone as ``create_backbone`` made it. Its trunk is changed in place.
        size: side of the square images in pixels.
        settings: give the windows of a plain ViT.
        frozen: compute no gradients, and stay in eval mode.

    Attributes:
        body: ``WindowedViT`` or ``StagedBackbone``.
        created_backbone: the result of ``create_backbone``, with the load report.
        channels: of each map.
        strides: of each map in pixels.

    Raises:
        UserError: no pyramid can be built on the trunk.
    """

    def __init__(self, created: CreatedBackbone, size: int, settings: DetectorSettings, frozen: bool = False) -> None:
        super().__init__()
        self.created_backbone, self.frozen = created, frozen
        self.body = _make_body(created.model, size, settings)
        self.channels: list[int] = self.body.channels
        self.strides: list[int] = self.body.strides
        if frozen:
            self.requires_grad_(False)

    @property
    def trunk(self) -> Any:
        """The timm model."""
        return self.body.trunk

    @property
    def is_plain(self) -> bool:
        """Whether there is one map, from which all levels of the pyramid are made."""
        return len(self.strides) == 1

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the maps of normalized images (batch, 3, height, width), fine to coarse."""
        # a frozen trunk also keeps no activations, which saves most of the memory
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps: list[Tensor] = self.body(images)
        return maps

    def train(self, mode: bool = True) -> DetectionBackbone:
        """Switch between training and eval mode; a frozen backbone and batch norms stay in eval mode."""
        super().train(mode and not self.frozen)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def group_matcher(self, coarse: bool = False) -> Callable[[str], int]:
        """Return a function that maps a parameter's name to its layer index, for layer-wise learning-rate decay.

        Relative positions have the layer of their block, as in detectron2.

        Args:
            coarse: part of timm's interface; not used here.
        """
        ids = get_layer_ids(self.trunk)

        def find_layer(name: str) -> int:
            part, _, rest = name.removeprefix("body.").partition(".")
            if part == "trunk":
                return ids[rest]
            block = f"blocks.{rest.partition('.')[0]}."
            return max(layer for place, layer in ids.items() if place.startswith(block))

        return find_layer

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that timm excludes from weight decay, with the prefix ``body.trunk.``."""
        ask: Any = getattr(self.trunk, "no_weight_decay", set)
        return {f"body.trunk.{name}" for name in ask()}


def _make_body(trunk: nn.Module, size: int, settings: DetectorSettings) -> WindowedViT | StagedBackbone:
    """Choose how a trunk is run."""
    if takes_windows(trunk):
        return WindowedViT(
            trunk,
            size,
            window=settings.window,
            global_blocks=settings.global_blocks,
            rel_pos=settings.rel_pos,
        )
    reductions = get_reductions(trunk)
    if is_plain_backbone(trunk):  # one resolution, but blocks of another kind: they run as they are
        return StagedBackbone(trunk, size, [len(reductions) - 1], reductions[-1:])
    # of two stages with the same stride the deeper one is taken
    stages = {stride: index for index, stride in enumerate(reductions) if stride in _LEVEL_STRIDES}
    strides = sorted(stages)
    if len(strides) < 2 or any(b != 2 * a for a, b in itertools.pairwise(strides)):
        raise UserError(
            f"{type(trunk).__name__} has maps with strides {', '.join(map(str, reductions))} px; a feature pyramid "
            "needs at least two of 4, 8, 16 and 32, each twice the one before: choose another backbone"
        )
    return StagedBackbone(trunk, size, [stages[stride] for stride in strides], strides)


def build_pyramid(backbone: DetectionBackbone, channels: int) -> SimplePyramid | StagePyramid:
    """Build the pyramid that fits a backbone, with its random initialization.

    Args:
        backbone: gives the maps.
        channels: of the levels.
    """
    if backbone.is_plain:
        return SimplePyramid(backbone.channels[0], channels, backbone.strides[0])
    return StagePyramid(backbone.channels, channels, backbone.strides)


def choose_backbone_kwargs(recipe: DetectionRecipe, card: BackboneCard) -> dict[str, Any]:
    """Return the arguments with which a backbone is created for a detector.

    A plain ViT is made for its card's own size, because it keeps the positions of its pre-training; any other backbone
    is made for the images of the recipe.

    Args:
        recipe: gives the size and the drop path.
        card: the backbone.

    Raises:
        UserError: the architecture refuses an argument.
    """
    arguments: dict[str, Any] = {"img_size": recipe.size, "num_classes": 0}
    if recipe.drop_path:
        arguments["drop_path_rate"] = recipe.drop_path
    if card.architecture != MEMORY_ARCHITECTURE:
        own = (card.input_size[1], card.input_size[2])
        # only the kinds of the layers matter, so no memory is filled and no random number of the run is drawn
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            trunk = build_model(card, own, {"num_classes": 0})
        if takes_windows(trunk):
            arguments["img_size"] = own[0] if own[0] == own[1] else own
    return arguments
