"""Masked autoencoding with a teacher's attention to match: D-MAE (arXiv 2205.14443) and D2-MAE (arXiv 2404.12210)."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention, LayerNorm
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.methods.distill import LogitsAdapter, StateAdapter, align
from pretraining.methods.mae import Mae, initialise
from pretraining.methods.teacher import Teacher
from pretraining.models.patches import Masking, patchify
from pretraining.models.vit import Tapped, embed, geometry, qk_logits, require_plain, run_blocks
from pretraining.recipe import DecoupledRecipe, Distillation, DistillRecipe


class MaeDistill(Mae):
    """D-MAE: reconstruction, and attention logits (and hidden states, if asked) as the teacher's.

    Student and teacher see the same visible patches of the same image; class token included. The teacher computes
    what is compared and nothing beyond: no decoder, no gradients, and of a last block that gives logits only queries
    and keys.

    Args:
        backbone, feed, recipe, name, fresh: see ``Mae``.
        teacher: a plain ViT of the same patches.
    """

    recipe: DistillRecipe

    def __init__(
        self, backbone: nn.Module, feed: nn.Module, recipe: DistillRecipe, name: str, fresh: bool, teacher: Teacher
    ) -> None:
        super().__init__(backbone, feed, recipe, name, fresh)
        self.teacher = (teacher,)  # hidden from the module tree: no state, no gradients
        other: Any = require_plain(teacher.model, f"the teacher {teacher.name}")
        require_same_patches(self.backbone, other, name, teacher.name)
        self._match(recipe.distill, other)

    def _match(self, setting: Distillation, other: Any) -> None:
        """Adapters for the pairs of layers."""
        depth, target = len(self.backbone.blocks), len(other.blocks)
        self.logit_pairs = self.state_pairs = []
        if setting.attention:
            layers, targets = setting.attention_layers, setting.attention_targets
            self.logit_pairs = align(layers, targets, depth, target, 1)
        if setting.hidden:
            layers, targets = setting.hidden_layers, setting.hidden_targets
            self.state_pairs = align(layers, targets, depth, target, 0)
        own, theirs = (model.blocks[0].attn.num_heads for model in (self.backbone, other))
        self.attn_adapter = nn.ModuleList(LogitsAdapter(own, theirs) for _ in self.logit_pairs)
        widths = int(self.backbone.embed_dim), int(other.embed_dim)
        self.hidden_adapter = nn.ModuleList(StateAdapter(*widths) for _ in self.state_pairs)

    def losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """``loss_masked``, and the weighted ``loss_attention`` and ``loss_hidden``."""
        patches, masking = self.divide(images, seeds)
        goal = self.target(images, masking)
        tapped = run_blocks(
            self.backbone,
            embed(self.backbone, patches, masking),
            {layer for layer, _ in self.logit_pairs},
            {state for state, _ in self.state_pairs},
        )
        found = self.reconstruction(self.backbone.norm(tapped.tokens), patches, masking)
        return found | self.match(tapped, goal)

    def match(self, tapped: Tapped, goal: Tapped) -> dict[str, Tensor]:
        """The losses of the distillation; of several pairs the mean."""
        setting, found = self.recipe.distill, {}
        if self.logit_pairs:
            pairs = zip(self.attn_adapter, self.logit_pairs, strict=True)
            terms = [adapter(tapped.logits[own], goal.logits[other]) for adapter, (own, other) in pairs]
            found["loss_attention"] = setting.attention * torch.stack(terms).mean()
        if self.state_pairs:
            pairs = zip(self.hidden_adapter, self.state_pairs, strict=True)
            terms = [adapter(tapped.hidden[own], goal.hidden[other]) for adapter, (own, other) in pairs]
            found["loss_hidden"] = setting.hidden * torch.stack(terms).mean()
        return found

    @torch.no_grad()
    def target(self, images: Tensor, masking: Masking) -> Tapped:
        """What the teacher gives on the same visible patches."""
        (teacher,) = self.teacher
        model: Any = teacher.to(images.device)
        patches = patchify(teacher.input(images), self.geometry.patch)
        logits, states = ({other for _, other in pairs} for pairs in (self.logit_pairs, self.state_pairs))
        return run_blocks(model, embed(model, patches, masking), logits, states, whole=False)


class MaeDistillDecoupled(MaeDistill):
    """D2-MAE: the student has a block more, of which only ``norm1`` and queries and keys are left; it is matched with
    the teacher's last, and reconstruction reads the output of a middle block. The further blocks get no gradient of the
    reconstruction; the distillation's reaches the first. Only the student's own blocks are exported, with the final
    norm, which here was trained after the middle block.
    """

    recipe: DecoupledRecipe

    def _match(self, setting: Distillation, other: Any) -> None:
        if setting.hidden or setting.attention_layers:
            raise UserError(
                "the decoupled method matches its extra block's attention logits only; leave distill.hidden at 0 and "
                "distill.attention_layers empty, or run mae_distill"
            )
        depth, target = len(self.backbone.blocks), len(other.blocks)
        self.decode_layer = self.recipe.decode_layer or (2 * depth + 1) // 3
        if not 1 <= self.decode_layer <= depth:
            raise UserError(f"decode_layer {self.decode_layer} is not there; the backbone has 1 to {depth} blocks")
        self.logit_pairs, self.state_pairs = [(depth + 1, target)], []
        own, theirs = (model.blocks[0].attn.num_heads for model in (self.backbone, other))
        self.extra_block = ExtraBlock(int(self.backbone.embed_dim), own)
        initialise(self.extra_block)
        self.attn_adapter = nn.ModuleList([LogitsAdapter(own, theirs)])
        self.hidden_adapter = nn.ModuleList()

    def losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """``loss_masked`` from the middle block, ``loss_attention`` from the extra one."""
        patches, masking = self.divide(images, seeds)
        goal = self.target(images, masking)
        middle = self._middle(patches, masking)
        found = self.reconstruction(self.backbone.norm(middle), patches, masking)
        top = self.backbone.blocks[self.decode_layer :](middle)
        tapped = Tapped(top, {self.logit_pairs[0][0]: self.extra_block(top)}, {})
        return found | self.match(tapped, goal)

    def encode(self, images: Tensor, patches: Tensor, masking: Masking) -> Tensor:
        """The middle block's output, normed."""
        tokens: Tensor = self.backbone.norm(self._middle(patches, masking))
        return tokens

    def _middle(self, patches: Tensor, masking: Masking) -> Tensor:
        tokens: Tensor = self.backbone.blocks[: self.decode_layer](embed(self.backbone, patches, masking))
        return tokens


class ExtraBlock(nn.Module):
    """What is left of a block that only gives attention logits: ``norm1`` and ``qkv`` (of which v is not used)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn = Attention(width, heads, qkv_bias=True)
        del self.attn.proj, self.attn.proj_drop, self.attn.attn_drop

    def forward(self, tokens: Tensor) -> Tensor:
        """Attention logits (N, heads, T, T) of tokens (N, T, C)."""
        return qk_logits(self.norm1(tokens), self.attn)


def require_same_patches(student: Any, teacher: Any, name: str, teacher_name: str) -> None:
    """Refuse a teacher that does not see the same tokens.

    Raises:
        UserError: another patch size, or other prefix tokens.
    """
    own, other = geometry(student), geometry(teacher)
    if own.patch != other.patch or own.grid != other.grid:
        raise UserError(
            f"the teacher {teacher_name} has patches of {other.patch[0]} x {other.patch[1]} px and the student {name} "
            f"of {own.patch[0]} x {own.patch[1]}: their attention cannot be compared; take one of the same patches"
        )
    if own.prefix != other.prefix:
        raise UserError(
            f"the teacher {teacher_name} has {other.prefix} tokens before the patches and the student {name} "
            f"{own.prefix}: their attention cannot be compared"
        )
