"""Masked autoencoding that also matches a teacher's attention: D-MAE (arXiv 2205.14443), D2-MAE (arXiv 2404.12210)."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention, LayerNorm
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.methods.distill import HiddenStateAdapter, LogitsAdapter, pair_layers, sum_adapter_losses
from pretraining.methods.mae import Mae, init_xavier_weights
from pretraining.methods.teacher import Teacher
from pretraining.models.patches import Masking, patchify
from pretraining.models.vit import (
    ViTBlockOutputs,
    compute_qk_logits,
    embed_patches,
    get_patch_geometry,
    require_plain_vit,
    run_blocks,
)
from pretraining.recipe import DecoupledRecipe, Distillation, DistillRecipe


class MaeDistill(Mae):
    """D-MAE: reconstruction, plus matching the attention logits (and optionally hidden states) of a teacher.

    Student and teacher see the same visible patches of the same image, and both see the class token. The teacher
    computes only what is compared: no decoder, no gradients, and of a last block whose logits are compared only
    queries and keys.

    Args:
        backbone, preprocessor, recipe, backbone_name, random_init: see ``Mae``.
        teacher: a plain ViT with the same patches.

    Raises:
        UserError: the teacher has other tokens, or a named layer does not exist.
    """

    recipe: DistillRecipe

    def __init__(
        self,
        backbone: nn.Module,
        preprocessor: nn.Module,
        recipe: DistillRecipe,
        backbone_name: str,
        random_init: bool,
        teacher: Teacher,
    ) -> None:
        super().__init__(backbone, preprocessor, recipe, backbone_name, random_init)
        self.teacher = teacher
        other: Any = require_plain_vit(teacher.model, f"the teacher {teacher.name}")
        require_same_tokens(self.backbone, other, backbone_name, teacher.name)
        self._build_adapters(recipe.distill, other)

    def _build_adapters(self, distillation: Distillation, teacher_model: Any) -> None:
        """Pair the layers and create one adapter per pair."""
        depth, target = len(self.backbone.blocks), len(teacher_model.blocks)
        self.logit_pairs = self.hidden_state_pairs = []
        if distillation.attention:
            layers, targets = distillation.attention_layers, distillation.attention_targets
            self.logit_pairs = pair_layers(layers, targets, depth, target, 1)
        if distillation.hidden:
            layers, targets = distillation.hidden_layers, distillation.hidden_targets
            self.hidden_state_pairs = pair_layers(layers, targets, depth, target, 0)
        own, theirs = (model.blocks[0].attn.num_heads for model in (self.backbone, teacher_model))
        self.attn_adapter = nn.ModuleList(LogitsAdapter(own, theirs) for _ in self.logit_pairs)
        widths = int(self.backbone.embed_dim), int(teacher_model.embed_dim)
        self.hidden_adapter = nn.ModuleList(HiddenStateAdapter(*widths) for _ in self.hidden_state_pairs)

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return ``loss_masked`` and the weighted ``loss_attention`` and ``loss_hidden``."""
        patches, masking = self.patchify_and_mask(images, seeds)
        goal = self.run_teacher(images, masking)
        # one forward pass gives both the tokens for the decoder and the logits and states to match
        tapped = run_blocks(
            self.backbone,
            embed_patches(self.backbone, patches, masking),
            {layer for layer, _ in self.logit_pairs},
            {state for state, _ in self.hidden_state_pairs},
        )
        found = self.compute_reconstruction_losses(self.backbone.norm(tapped.tokens), patches, masking)
        return found | self.compute_distillation_losses(tapped, goal)

    def compute_distillation_losses(
        self, student_outputs: ViTBlockOutputs, teacher_outputs: ViTBlockOutputs
    ) -> dict[str, Tensor]:
        """Return the weighted losses of the distillation, each a sum over its pairs of layers.

        Args:
            student_outputs: logits and states of the student's layers.
            teacher_outputs: logits and states of the teacher's layers.
        """
        setting, found = self.recipe.distill, {}
        if self.logit_pairs:
            found["loss_attention"] = setting.attention * sum_adapter_losses(
                self.attn_adapter,
                self.logit_pairs,
                student_outputs.attention_logits,
                teacher_outputs.attention_logits,
            )
        if self.hidden_state_pairs:
            found["loss_hidden"] = setting.hidden * sum_adapter_losses(
                self.hidden_adapter,
                self.hidden_state_pairs,
                student_outputs.hidden_states,
                teacher_outputs.hidden_states,
            )
        return found

    @torch.no_grad()
    def run_teacher(self, images: Tensor, masking: Masking) -> ViTBlockOutputs:
        """Run the teacher on the same visible patches.

        Args:
            images: (N, 3, S, S), normalized for the student.
            masking: which patches are visible.
        """
        model: Any = self.teacher.move_model_to(images.device)
        patches = patchify(self.teacher.renormalize_images(images), self.patch_geometry.patch_size)
        logits, states = ({other for _, other in pairs} for pairs in (self.logit_pairs, self.hidden_state_pairs))
        return run_blocks(model, embed_patches(model, patches, masking), logits, states, run_all_blocks=False)


class MaeDistillDecoupled(MaeDistill):
    """D2-MAE: reconstruction reads a middle block, and an extra block on top is matched with the teacher's last block.

    The extra block consists only of ``norm1``, queries and keys. The blocks above the middle block get no gradient
    from the reconstruction; the gradient of the distillation reaches all blocks. Only the student's own blocks are
    exported, with the final norm, which was trained on the output of the middle block.
    """

    recipe: DecoupledRecipe

    def _build_adapters(self, distillation: Distillation, teacher_model: Any) -> None:
        if distillation.hidden or distillation.attention_layers:
            raise UserError(
                "the decoupled method matches its extra block's attention logits only; leave distill.hidden at 0 and "
                "distill.attention_layers empty, or run mae_distill"
            )
        depth, target = len(self.backbone.blocks), len(teacher_model.blocks)
        # two thirds of the depth, rounded to the nearest integer: 8 of 12
        self.decode_layer = self.recipe.decode_layer or (2 * depth + 1) // 3
        if not 1 <= self.decode_layer <= depth:
            raise UserError(f"decode_layer {self.decode_layer} does not exist; the backbone has blocks 1 to {depth}")
        self.logit_pairs, self.hidden_state_pairs = [(depth + 1, target)], []
        own, theirs = (model.blocks[0].attn.num_heads for model in (self.backbone, teacher_model))
        self.extra_block = AttentionLogitsBlock(int(self.backbone.embed_dim), own)
        init_xavier_weights(self.extra_block)
        self.attn_adapter = nn.ModuleList([LogitsAdapter(own, theirs)])
        self.hidden_adapter = nn.ModuleList()

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return ``loss_masked`` from the middle block and ``loss_attention`` from the extra block."""
        patches, masking = self.patchify_and_mask(images, seeds)
        goal = self.run_teacher(images, masking)
        middle = self._run_lower_blocks(patches, masking)
        found = self.compute_reconstruction_losses(self.backbone.norm(middle), patches, masking)
        # the upper blocks branch off before the norm, so the reconstruction's gradient does not pass through them
        top = self.backbone.blocks[self.decode_layer :](middle)
        tapped = ViTBlockOutputs(top, {self.logit_pairs[0][0]: self.extra_block(top)}, {})
        return found | self.compute_distillation_losses(tapped, goal)

    def encode_visible(self, images: Tensor, patches: Tensor, masking: Masking) -> Tensor:
        """Return the output of the middle block after the final norm, (N, prefix + visible, C)."""
        tokens: Tensor = self.backbone.norm(self._run_lower_blocks(patches, masking))
        return tokens

    def _run_lower_blocks(self, patches: Tensor, masking: Masking) -> Tensor:
        tokens: Tensor = self.backbone.blocks[: self.decode_layer](embed_patches(self.backbone, patches, masking))
        return tokens


class AttentionLogitsBlock(nn.Module):
    """The part of a ViT block that computes attention logits: ``norm1`` and ``qkv`` (the rows of v are not used).

    Args:
        embed_dim: width of the tokens.
        num_heads: attention heads.
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(embed_dim)
        self.attn = Attention(embed_dim, num_heads, qkv_bias=True)
        # unused parameters would get no gradient, which DistributedDataParallel treats as an error
        del self.attn.proj, self.attn.proj_drop, self.attn.attn_drop

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the attention logits (N, heads, T, T) of tokens (N, T, C)."""
        return compute_qk_logits(self.norm1(tokens), self.attn, self.attn.num_heads)


def require_same_tokens(student: Any, teacher: Any, student_name: str, teacher_name: str) -> None:
    """Check that student and teacher see the same tokens.

    Args:
        student, teacher: plain ViTs.
        student_name, teacher_name: for the message.

    Raises:
        UserError: they have another patch size or grid, or another number of prefix tokens.
    """
    own, other = get_patch_geometry(student), get_patch_geometry(teacher)
    if own.patch_size != other.patch_size or own.grid_size != other.grid_size:
        raise UserError(
            f"the teacher {teacher_name} has patches of {other.patch_size[0]} x {other.patch_size[1]} px and the "
            f"student {student_name} of {own.patch_size[0]} x {own.patch_size[1]}: their attention cannot be compared; "
            "choose a teacher with the same patches"
        )
    if own.num_prefix_tokens != other.num_prefix_tokens:
        raise UserError(
            f"the teacher {teacher_name} has {other.num_prefix_tokens} tokens before the patches and the student "
            f"{student_name} {own.num_prefix_tokens}: their attention cannot be compared; choose another teacher"
        )
