"""One stream: template and search tokens run through a plain ViT's own blocks in one sequence.

This is the design of OSTrack (arXiv 2203.11991).

The forward pass of timm's blocks is written out here, because attention has to distinguish the two images: for
candidate elimination, for a template that attends only to itself, for the relative position bias, and for rotary
position embeddings.
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbones.architectures.block_parts import (
    add_attention,
    add_mlp,
    compute_attention,
    merge_heads,
    normalize_input,
    project_qkv,
)
from backbones.architectures.rpe import RelPosAttention
from tracking.models.compatibility import require_plain_vit
from tracking.models.crop_positions import (
    compute_rotation,
    gather_tokens,
    is_constant,
    join_rotations,
    resize_pos_embed,
    rotate_kept_tokens,
)


class TemplateKV(NamedTuple):
    """What one block needs of a template that attends only to itself.

    Attributes:
        keys: keys of the template tokens, shape (batch, heads, template tokens, head channels).
        values: values of the template tokens, the same shape.
        center_query: query of the template's center token, shape (batch, heads, 1, head channels).
    """

    keys: Tensor
    values: Tensor
    center_query: Tensor


class OneStreamViT(nn.Module):
    """A plain ViT over two images at once.

    The position embeddings of each grid are the backbone's own, resized bicubically (align_corners False, no antialias)
    and then trained. A rotary embedding turns each token by its place in its own crop's grid, as timm computes it for
    an image of that size. The sequence has no class token, no register tokens and no embedding that marks the image.
    Parameters that the joint sequence does not use (class token, original positions) stay in the backbone and are
    frozen.

    Args:
        vit: a timm ``VisionTransformer`` or ``Eva`` that passes ``require_plain_vit``.
        template_size: side length of the template crop in pixels.
        search_size: side length of the search crop in pixels.
        ce_blocks: indices, from 0, of the blocks after whose attention search tokens are dropped: those to which the
            template's center token attends least, averaged over the heads.
        asymmetric_attention: let the template attend only to itself; its keys and values can then be stored and reused
            without any approximation.

    Attributes:
        template_grid, search_grid: number of patches per side of each crop.
        keep_ratio: fraction of the search tokens that remains after each block in ``ce_blocks``.

    Raises:
        UserError: the backbone does not fit.
    """

    vit: Any
    template_positions: nn.Parameter | None
    search_positions: nn.Parameter | None
    template_rotation: Tensor | None
    search_rotation: Tensor | None

    def __init__(
        self,
        vit: nn.Module,
        template_size: int,
        search_size: int,
        ce_blocks: tuple[int, ...] = (),
        asymmetric_attention: bool = False,
    ) -> None:
        super().__init__()
        patch = require_plain_vit(vit, template_size, search_size)
        self.vit = vit
        # a backbone made for one image size checks it; its convolution takes any, and positions are set for both crops
        self.vit.patch_embed.strict_img_size = False
        self.template_grid, self.search_grid = template_size // patch, search_size // patch
        self.ce_blocks = frozenset(ce_blocks)
        self.asymmetric_attention = asymmetric_attention
        self.keep_ratio = 1.0
        # frozen: distributed training waits for the gradient of every trainable parameter, and these get none
        unused = [getattr(vit, name, None) for name in ("cls_token", "reg_token", "pos_embed", "dist_token")]
        pool = getattr(vit, "attn_pool", None)
        for parameter in (*unused, *(pool.parameters() if pool is not None else ())):
            if parameter is not None:
                parameter.requires_grad_(False)
        for name, grid in (("template", self.template_grid), ("search", self.search_grid)):
            positions = resize_pos_embed(vit, grid)
            self.register_parameter(f"{name}_positions", None if positions is None else nn.Parameter(positions))
            # no part of the weights: the backbone and the size of the crop define it
            rotation = compute_rotation(self.rope, grid) if self.rope is not None and is_constant(self.rope) else None
            self.register_buffer(f"{name}_rotation", rotation, persistent=False)
        # the tables are made for the larger grid; the offsets within the template are a part of its offsets
        for block in self.vit.blocks:
            if isinstance(block.attn, RelPosAttention):
                block.attn.set_grid((self.search_grid, self.search_grid))

    @property
    def embed_dim(self) -> int:
        """Number of channels of a token."""
        return int(self.vit.embed_dim)

    @property
    def rope(self) -> nn.Module | None:
        """The backbone's rotary position embedding, if it has one."""
        rope: nn.Module | None = getattr(self.vit, "rope", None)
        return rope

    @property
    def center_index(self) -> int:
        """Index of the template's center token: row and column (side / 2 - 1) of an even grid, as in OSTrack."""
        middle = (self.template_grid - 1) // 2
        return middle * self.template_grid + middle

    def fix_rotations(self) -> None:
        """Compute the rotary embeddings once, also learned ones; for a model whose weights no longer change."""
        if self.rope is not None:
            with torch.no_grad():
                self.template_rotation = compute_rotation(self.rope, self.template_grid)
                self.search_rotation = compute_rotation(self.rope, self.search_grid)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the positions, which get no weight decay: embeddings, and learned rotary frequencies."""
        rotary = {f"vit.rope.{name}" for name, _ in self.rope.named_parameters()} if self.rope is not None else set()
        return {"template_positions", "search_positions", *rotary}

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """Compute features of the search region.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).
            search: normalized search crops, shape (batch, 3, side, side).

        Returns:
            Features of the search tokens row by row, shape (batch, search_grid ** 2, channels); zeros where a token was
            dropped.
        """
        # as in OSTrack's code, whose operations are the published ones
        return self._run_blocks(self.embed_template(template), search, with_last_template=True)

    def embed_template(self, template: Tensor) -> Tensor:
        """Embed the patches of a template, which is the same for every search region.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).

        Returns:
            Shape (batch, template_grid ** 2, channels).
        """
        return self._embed_patches(template, True)

    def forward_embedded(self, template_tokens: Tensor, search: Tensor) -> Tensor:
        """Compute the same features as ``forward`` from an embedded template.

        Args:
            template_tokens: the result of ``embed_template``.
            search: normalized search crops, shape (batch, 3, side, side).

        Returns:
            Features of the search tokens row by row, shape (batch, search_grid ** 2, channels).
        """
        return self._run_blocks(template_tokens, search, with_last_template=False)

    def _run_blocks(self, template_tokens: Tensor, search: Tensor, *, with_last_template: bool) -> Tensor:
        """Run both images through all blocks; the template's tokens are read by nobody after the last attention."""
        # (batch, template + search tokens, channels), the template first
        tokens = torch.cat([template_tokens, self._embed_patches(search, False)], 1)
        # places holds the grid index of each remaining search token, so that features can return to their cells
        count, places = self.template_grid**2, self._all_token_indices(search)
        rotations = self._block_rotations(True), self._block_rotations(False)
        for number, (block, template_rotation, search_rotation) in enumerate(
            zip(self.vit.blocks, *rotations, strict=True)
        ):
            normed, rotation = normalize_input(block, tokens), None
            if template_rotation is not None and search_rotation is not None:
                rotation = join_rotations(template_rotation, rotate_kept_tokens(search_rotation, places))
            q, k, v = project_qkv(block.attn, normed, rotation)
            center_query = q[:, :, self.center_index : self.center_index + 1]
            search_bias = self._search_bias(block.attn, places, count)
            bias = self._joint_bias(block.attn, search_bias, count)
            if number == len(self.vit.blocks) - 1 and not with_last_template:
                # only the keys and values of the template are needed
                tokens, normed = tokens[:, count:], normed[:, count:]
                out = compute_attention(block.attn, q[:, :, count:], k, v, search_bias)
                count = 0
            elif self.asymmetric_attention:
                # two calls: template queries see the template only, search queries see everything
                first = None if bias is None else bias[:, :, :count, :count]
                head = compute_attention(block.attn, q[:, :, :count], k[:, :, :count], v[:, :, :count], first)
                out = torch.cat([head, compute_attention(block.attn, q[:, :, count:], k, v, search_bias)], 2)
            else:
                out = compute_attention(block.attn, q, k, v, bias)
            tokens = add_attention(block, tokens, merge_heads(block.attn, out, normed))
            # between attention and MLP, so that the MLP is not computed for dropped tokens
            if number in self.ce_blocks:
                kept, places = self._eliminate_tokens(block.attn, center_query, k, tokens[:, count:], places)
                tokens = torch.cat([tokens[:, :count], kept], 1)
            tokens = add_mlp(block, tokens)
        return self._scatter_tokens(self._final_norm(tokens[:, count:]), places)

    def encode_template(self, template: Tensor) -> list[TemplateKV]:
        """Run a template through all blocks and return what ``forward_cached`` needs of each.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).

        Returns:
            One entry per block.
        """
        assert self.asymmetric_attention, "a template that attends to the search region cannot be encoded alone"
        tokens, memory = self._embed_patches(template, True), []
        for block, rotation in zip(self.vit.blocks, self._block_rotations(True), strict=True):
            normed = normalize_input(block, tokens)
            q, k, v = project_qkv(block.attn, normed, rotation)
            memory.append(TemplateKV(k, v, q[:, :, self.center_index : self.center_index + 1]))
            bias = None
            if isinstance(block.attn, RelPosAttention):
                cells = self._template_cell_indices()
                bias = get_patch_bias(block.attn)[:, cells][:, :, cells][None]
            out = compute_attention(block.attn, q, k, v, bias)
            tokens = add_attention(block, tokens, merge_heads(block.attn, out, normed))
            tokens = add_mlp(block, tokens)
        return memory

    def forward_cached(self, template_kv: list[TemplateKV], search: Tensor) -> Tensor:
        """Compute the same features as ``forward`` with an encoded template in place of its pixels.

        Args:
            template_kv: the result of ``encode_template``, one entry per block.
            search: normalized search crops, shape (batch, 3, side, side).

        Returns:
            Features of the search tokens row by row, shape (batch, search_grid ** 2, channels).
        """
        tokens, places = self._embed_patches(search, False), self._all_token_indices(search)
        blocks = zip(self.vit.blocks, template_kv, self._block_rotations(False), strict=True)
        for number, (block, old, rotation) in enumerate(blocks):
            normed = normalize_input(block, tokens)
            if rotation is not None:
                rotation = rotate_kept_tokens(rotation, places)
            q, k, v = project_qkv(block.attn, normed, rotation)
            # template keys come first as in forward, so bias and elimination find them in the same columns
            k, v = torch.cat([old.keys, k], 2), torch.cat([old.values, v], 2)
            out = compute_attention(block.attn, q, k, v, self._search_bias(block.attn, places, old.keys.shape[2]))
            tokens = add_attention(block, tokens, merge_heads(block.attn, out, normed))
            if number in self.ce_blocks:
                tokens, places = self._eliminate_tokens(block.attn, old.center_query, k, tokens, places)
            tokens = add_mlp(block, tokens)
        return self._scatter_tokens(self._final_norm(tokens), places)

    def _embed_patches(self, images: Tensor, is_template: bool) -> Tensor:
        """Embed the patches of one crop and add the positions of its grid: shape (batch, patches, channels)."""
        cells: Tensor = self.vit.patch_embed(images)
        cells = cells.flatten(1, 2) if cells.ndim == 4 else cells  # timm's NHWC output to tokens
        positions = self.template_positions if is_template else self.search_positions
        embedded: Tensor = self.vit.norm_pre(self.vit.pos_drop(cells if positions is None else cells + positions))
        return embedded

    def _block_rotations(self, is_template: bool) -> list[Tensor | None]:
        """Return the rotary embedding of one crop's grid for each block; ``None`` where there is none."""
        depth = len(self.vit.blocks)
        rotation = self.template_rotation if is_template else self.search_rotation
        if rotation is None and self.rope is not None:
            # learned frequencies, or coordinates that are drawn at random in training
            rotation = compute_rotation(self.rope, self.template_grid if is_template else self.search_grid)
        # timm's mixed embedding has other frequencies in each block: (blocks, heads, patches, 2 * head channels)
        if rotation is not None and rotation.ndim == 4:
            return list(rotation)
        return [rotation] * depth

    def _final_norm(self, tokens: Tensor) -> Tensor:
        """Apply the final norm: ``fc_norm`` in backbones that average patch tokens, else ``norm``."""
        # timm makes the other of the two an identity
        normed: Tensor = self.vit.fc_norm(self.vit.norm(tokens))
        return normed

    def _eliminate_tokens(
        self, attn: Any, center_query: Tensor, keys: Tensor, tokens: Tensor, token_indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keep the search tokens to which the template's center token attends most.

        Args:
            attn: attention module of the block.
            center_query: query of the center token, shape (batch, heads, 1, head channels).
            keys: keys of all tokens, the template's first, shape (batch, heads, tokens, head channels).
            tokens: the search tokens, shape (batch, search tokens, channels).
            token_indices: grid index of each search token, shape (batch, search tokens).

        Returns:
            The remaining tokens and their grid indices, in the order of falling attention.
        """
        count = ceil(self.keep_ratio * tokens.shape[1])
        if count == tokens.shape[1]:
            return tokens, token_indices
        # the same attention as in the block, computed again for one query, because fused attention does not return it
        logits = center_query @ keys.transpose(-2, -1) * attn.scale
        if isinstance(attn, RelPosAttention):
            # the center token has a bias on template keys and none on search keys, which are padded with zeros
            cells = self._template_cell_indices()
            own = get_patch_bias(attn)[:, cells[self.center_index]][:, cells]
            logits = logits + functional.pad(own, (0, tokens.shape[1]))[:, None]
        # softmax over all tokens, mean over heads: (batch, search tokens)
        row = logits.softmax(-1).mean(1)[:, 0, -tokens.shape[1] :]
        # a stable sort, so that equal attention gives the same tokens on every device
        best = row.argsort(dim=1, descending=True, stable=True)[:, :count]
        return gather_tokens(tokens, best), token_indices.gather(1, best)

    def _all_token_indices(self, search: Tensor) -> Tensor:
        """Return the grid indices of all search tokens, shape (batch, search tokens)."""
        return torch.arange(self.search_grid**2, device=search.device).expand(len(search), -1)

    def _scatter_tokens(self, tokens: Tensor, token_indices: Tensor) -> Tensor:
        """Put the remaining tokens back into their cells and zeros into the others."""
        if tokens.shape[1] == self.search_grid**2:
            return tokens
        whole = tokens.new_zeros(len(tokens), self.search_grid**2, tokens.shape[2])
        return whole.scatter(1, token_indices[..., None].expand_as(tokens), tokens)

    def _template_cell_indices(self) -> Tensor:
        """Return the grid indices of the top-left part of the search grid that is as large as the template's grid.

        A relative position bias depends on the offset of two cells only, so the bias of these cells is that of the
        template.
        """
        line = torch.arange(self.template_grid, device=self.vit.patch_embed.proj.weight.device)
        return (line[:, None] * self.search_grid + line[None]).flatten()

    def _search_bias(self, attn: nn.Module, token_indices: Tensor, num_template_tokens: int) -> Tensor | None:
        """Return the relative position bias of the search queries: zero on template keys, by offset on search keys.

        Args:
            attn: attention module of the block.
            token_indices: grid index of each remaining search token, shape (batch, search tokens).
            num_template_tokens: number of template keys, which come first.

        Returns:
            Shape (1 or batch, heads, search tokens, template + search tokens), or ``None`` without such a bias.
        """
        if not isinstance(attn, RelPosAttention):
            return None
        bias = get_patch_bias(attn)[None]
        if token_indices.shape[1] < self.search_grid**2:
            # each image has dropped other tokens: (heads, cells, cells) is indexed to (heads, batch, kept, kept)
            bias = bias[0][:, token_indices[:, :, None], token_indices[:, None, :]].transpose(0, 1)
        return functional.pad(bias, (num_template_tokens, 0))

    def _joint_bias(self, attn: nn.Module, search_bias: Tensor | None, num_template_tokens: int) -> Tensor | None:
        """Return the bias of all queries: within the template, within the search region, and zero between them.

        Args:
            attn: attention module of the block.
            search_bias: the result of ``_search_bias``.
            num_template_tokens: number of template tokens.

        Returns:
            Shape (1 or batch, heads, tokens, tokens), or ``None`` without such a bias.
        """
        if search_bias is None:
            return None
        assert isinstance(attn, RelPosAttention)
        cells = self._template_cell_indices()
        own = get_patch_bias(attn)[:, cells][:, :, cells].expand(len(search_bias), -1, -1, -1)
        return torch.cat([functional.pad(own, (0, search_bias.shape[3] - num_template_tokens)), search_bias], 2)


def get_patch_bias(attn: RelPosAttention) -> Tensor:
    """Return the bias between the patches of the search grid, without the class token: shape (heads, patches, patches).

    Args:
        attn: attention module with a relative position bias.
    """
    return attn.compute_bias()[0, :, 1:, 1:]
