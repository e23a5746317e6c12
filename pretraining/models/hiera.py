"""Masked autoencoding on Hiera by mask units (arXiv 2306.00989), also with a teacher (arXiv 2404.12210)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from timm.models.hiera import Hiera
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.methods.distill import LogitsAdapter, pair_layers, sum_adapter_losses
from pretraining.methods.mae import Mae
from pretraining.methods.method import PretrainMethod
from pretraining.methods.teacher import Teacher
from pretraining.models.decoder import MaeDecoder
from pretraining.models.patches import Masking, count_visible_patches, patchify, sample_masking
from pretraining.models.vit import PatchGeometry, compute_qk_logits
from pretraining.recipe import DistillRecipe, MaskedRecipe


class HieraBlockOutputs(NamedTuple):
    """What some blocks of Hiera computed; keys are block numbers from 1.

    Attributes:
        features: outputs by mask unit, (N, visible, side, side, C), where side is in tokens.
        attention_logits: scaled QK^T before the softmax, (N, heads, T, T).
    """

    features: dict[int, Tensor]
    attention_logits: dict[int, Tensor]


class HieraMae(Mae):
    """MAE on Hiera, which masks complete mask units (7 x 7 of them in a 224-px image).

    The features of the visible units at every scale are fused and decoded; the prediction is compared with the pixels
    of the masked units.

    Args:
        backbone: timm's Hiera, created with ``q_pool=2``.
        preprocessor, recipe, backbone_name, random_init: see ``Mae``.

    Raises:
        UserError: the recipe has fixed positions.
    """

    def __init__(
        self, backbone: Any, preprocessor: nn.Module, recipe: MaskedRecipe, backbone_name: str, random_init: bool
    ) -> None:
        # not Mae's constructor, which builds the parts for a plain ViT
        PretrainMethod.__init__(self, backbone, preprocessor)
        if recipe.positions != "learned":
            raise UserError(f"{backbone_name} learns its positions, in pre-training too; set positions=learned")
        self.recipe = recipe
        # Query pooling shrinks a unit from mask_unit_size to ``side`` tokens per side. The decoder predicts one patch
        # of ``pixels`` x ``pixels`` per remaining token (at 224 px: side 2, 16 px).
        pooled = int(backbone.q_stride[0]) ** int(backbone.q_pool)
        side = backbone.mask_unit_size[0] // pooled
        units = tuple(backbone.mask_spatial_shape)
        pixels = backbone.patch_stride[0] * pooled
        self.num_units = units[0] * units[1]
        self.patch_geometry = PatchGeometry((pixels, pixels), (units[0] * side, units[1] * side), 0)
        self.num_visible = count_visible_patches(self.num_units, recipe.mask_ratio)
        # split rows and columns of the patch grid into (unit, patch inside the unit)
        grid = torch.arange(self.patch_geometry.num_patches).reshape(units[0], side, units[1], side)
        # (units, patches per unit): indices of the patches of each unit, row by row
        self.register_buffer("unit_patches", grid.permute(0, 2, 1, 3).reshape(self.num_units, -1), persistent=False)
        ends = backbone.stage_ends
        # the last blocks of the stages before each pooling, and the last block of all; counted from 1
        self.fused_blocks = [end + 1 for end in (*ends[: backbone.q_pool], ends[-1])]
        width = backbone.blocks[-1].dim_out
        heads: list[nn.Module] = []
        for block in self.fused_blocks[:-1]:
            # reduces a unit from its side in this stage to ``side``, without overlap: kernel = stride
            kernel = backbone.mask_unit_size[0] // int(backbone.q_stride[0]) ** len(heads) // side
            # keeps torch's own initialization, as in the authors' code
            heads.append(nn.Conv2d(backbone.blocks[block - 1].dim_out, width, kernel, kernel))
        self.multi_scale_fusion_heads = nn.ModuleList(heads)
        self.decoder = MaeDecoder(width, recipe.decoder, self.patch_geometry, recipe.positions)
        _init_linear_and_norms(self.decoder)
        nn.init.trunc_normal_(self.decoder.mask_token, std=0.02)
        if random_init:  # loaded weights stay as they are
            init_hiera_weights(backbone)

    def patchify_and_mask(self, images: Tensor, seeds: Tensor) -> tuple[Tensor, Masking]:
        """Cut the images into patches of the predicted size, and mask units at random; patches of a unit stay together.

        Args:
            images: (N, 3, S, S), normalized.
            seeds: (N,) int64, one per image.

        Returns:
            Patches (N, patches, pixels per patch), and the masking in patches.
        """
        units = sample_masking(seeds, self.num_units, self.num_visible)
        # (N, units) to (N, units, patches per unit) to (N, patches)
        order = self.unit_patches[units.permutation].flatten(1)
        return patchify(images, self.patch_geometry.patch_size), Masking(
            order, self.num_visible * self.unit_patches.shape[1]
        )

    def encode_visible(self, images: Tensor, patches: Tensor, masking: Masking) -> Tensor:
        """Return the fused tokens of the visible units after the norm, (N, visible patches, C)."""
        return self.fuse_scales(run_mask_units(self.backbone, images, self._visible_units(masking), self.fused_blocks))

    def fuse_scales(self, block_outputs: HieraBlockOutputs) -> Tensor:
        """Add up the features of all scales and apply the norm, (N, visible patches, C).

        Args:
            block_outputs: features of ``fused_blocks``.
        """
        total = block_outputs.features[self.fused_blocks[-1]]
        for head, block in zip(self.multi_scale_fusion_heads, self.fused_blocks[:-1], strict=True):
            stage = block_outputs.features[block]
            count, units = stage.shape[:2]
            # (N, units, s, s, C) to one image per unit (N * units, C, s, s) for the convolution, and back
            small = head(stage.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            total = total + small.reshape(count, units, *small.shape[1:])
        tokens: Tensor = self.backbone.head.norm(total.flatten(1, 3))
        return tokens

    def _visible_units(self, masking: Masking) -> Tensor:
        """Return the indices of the visible units in the order of their tokens, (N, visible)."""
        cells = self.unit_patches.shape[1]
        # the first patch of each unit; its row and column in the patch grid tell the unit
        first = masking.visible_indices[:, ::cells]
        row, column = first // self.patch_geometry.grid_size[1], first % self.patch_geometry.grid_size[1]
        side = int(cells**0.5)
        units: Tensor = row // side * (self.patch_geometry.grid_size[1] // side) + column // side
        return units


class HieraMaeDistill(HieraMae):
    """``HieraMae`` that also matches the attention logits of a teacher (without an extra block).

    Only blocks with attention over all units can be matched: blocks of stages 3 and 4 that do not pool queries.

    Args:
        backbone, preprocessor, recipe, backbone_name, random_init: see ``HieraMae``.
        teacher: a Hiera with the same mask units and patches.

    Raises:
        UserError: the teacher is not such a Hiera, hidden states are to be matched, or a block does not attend to all
            units.
    """

    recipe: DistillRecipe

    def __init__(
        self,
        backbone: Any,
        preprocessor: nn.Module,
        recipe: DistillRecipe,
        backbone_name: str,
        random_init: bool,
        teacher: Teacher,
    ) -> None:
        super().__init__(backbone, preprocessor, recipe, backbone_name, random_init)
        self.teacher = teacher
        other: Any = require_hiera(teacher.model, f"the teacher {teacher.name}")
        layout = ("mask_spatial_shape", "mask_unit_size", "patch_stride", "q_pool")
        if any(tuple(_attribute_as_list(other, name)) != tuple(_attribute_as_list(backbone, name)) for name in layout):
            raise UserError(
                f"the teacher {teacher.name} has other mask units or patches than {backbone_name}; "
                "choose another teacher"
            )
        setting = recipe.distill
        if setting.hidden:
            raise UserError("hidden states of Hiera are not matched here; leave distill.hidden at 0")
        depths = len(backbone.blocks), len(other.blocks)
        self.layer_pairs = pair_layers(setting.attention_layers, setting.attention_targets, *depths, 1)
        # every pair has its own adapter, since the number of heads grows with the stage
        heads = [
            (_count_heads(backbone, own, backbone_name), _count_heads(other, goal, teacher.name))
            for own, goal in self.layer_pairs
        ]
        self.attn_adapter = nn.ModuleList(LogitsAdapter(*pair) for pair in heads)

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return ``loss_masked`` and the weighted ``loss_attention``."""
        patches, masking = self.patchify_and_mask(images, seeds)
        seen = self._visible_units(masking)
        model = self.teacher.move_model_to(images.device)
        with torch.no_grad():
            goal = run_mask_units(
                model, self.teacher.renormalize_images(images), seen, (), {other for _, other in self.layer_pairs}
            )
        encoded = run_mask_units(self.backbone, images, seen, self.fused_blocks, {own for own, _ in self.layer_pairs})
        found = self.compute_reconstruction_losses(self.fuse_scales(encoded), patches, masking)
        loss = sum_adapter_losses(self.attn_adapter, self.layer_pairs, encoded.attention_logits, goal.attention_logits)
        return found | {"loss_attention": self.recipe.distill.attention * loss}


def run_mask_units(
    model: Any,
    images: Tensor,
    visible_units: Tensor,
    output_blocks: Collection[int],
    logit_blocks: Collection[int] = (),
) -> HieraBlockOutputs:
    """Run Hiera on some mask units; blocks after the last requested one are not computed.

    Args:
        model: timm's Hiera.
        images: (N, 3, S, S), normalized.
        visible_units: indices of the visible units, (N, visible).
        output_blocks: blocks (from 1) whose outputs to return, by unit.
        logit_blocks: blocks (from 1) whose scaled QK^T before the softmax to return.
    """
    count = len(visible_units)
    units = int(model.mask_spatial_shape[0] * model.mask_spatial_shape[1])
    kept = torch.zeros(count, units, dtype=torch.bool, device=images.device).scatter_(1, visible_units, True)
    # The stem sets masked pixels to 0, because its kernels reach across the borders of the units.
    tokens = model.unroll(
        model._pos_embed(model.patch_embed(images, mask=kept.view(count, 1, *model.mask_spatial_shape)))
    )
    # ``unroll`` orders tokens so that they can be viewed as (position inside a unit, unit)
    width = tokens.shape[-1]
    tokens = tokens.view(count, model.mu_size, units, width)
    tokens = tokens.gather(2, visible_units[:, None, :, None].expand(-1, model.mu_size, -1, width)).flatten(1, 2)
    found = HieraBlockOutputs({}, {})
    last = max([*output_blocks, *logit_blocks])
    for number, block in enumerate(model.blocks[:last], 1):
        if number in logit_blocks:
            found.attention_logits[number] = compute_qk_logits(block.norm1(tokens), block.attn, block.attn.heads)
        if number == last and number not in output_blocks:  # only its logits are requested
            break
        tokens = block(tokens)
        if number in output_blocks:  # reroll undoes the order of unroll and counts blocks from 0
            found.features[number] = model.reroll(tokens, number - 1, mask=kept)
    return found


def require_hiera(model: nn.Module, model_name: str) -> Hiera:
    """Return the model if it is timm's Hiera.

    Args:
        model: any model.
        model_name: for the message.

    Raises:
        UserError: it is not.
    """
    if not isinstance(model, Hiera):
        raise UserError(f"{model_name} is a {type(model).__name__}; a Hiera learns from a Hiera")
    return model


def _count_heads(model: Any, block_number: int, model_name: str) -> int:
    attention = model.blocks[block_number - 1].attn
    # mask unit attention sees one unit; pooled queries are fewer than keys, so the logits are not square
    if attention.use_mask_unit_attn or attention.q_stride > 1:
        raise UserError(
            f"block {block_number} of {model_name} does not attend to all units; match one of its last two stages"
        )
    return int(attention.heads)


def _attribute_as_list(model: Any, name: str) -> list[Any]:
    value = getattr(model, name)
    return list(value) if isinstance(value, list | tuple) else [value]


def init_hiera_weights(model: Any) -> None:
    """Initialize Hiera as its masked autoencoder does: Xavier-uniform weights, biases of zero.

    The positions are left alone: timm draws them from the same normal distribution (standard deviation 0.02).

    Args:
        model: timm's Hiera.

    Source: facebookresearch/hiera, ``hiera_mae.py`` (also in wangsr126/MAE-Lite, projects/mae_lite).
    """
    _init_linear_and_norms(model)
    # The kernel of the stem counts as a linear layer on the pixels of its window; its bias stays that of a convolution.
    stem = model.patch_embed.proj
    stem.reset_parameters()
    nn.init.xavier_uniform_(stem.weight.view(stem.weight.shape[0], -1))


def _init_linear_and_norms(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()  # scales of one, shifts of zero
