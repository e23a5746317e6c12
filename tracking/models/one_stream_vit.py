"""One stream: template and search tokens run through a plain ViT's own blocks in one sequence.

This is the design of OSTrack (arXiv 2203.11991).

The forward pass of timm's blocks is written out here, because attention has to distinguish the two images: for
candidate elimination, for a template that attends only to itself, and for the relative position bias.
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from backbones.architectures.rpe import RelPosAttention
from tracking.models.compatibility import require_plain_vit


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
    and then trained. The sequence has neither a class token nor an embedding that marks the image. Parameters that the
    joint sequence does not use (class token, original positions) stay in the backbone and are frozen.

    Args:
        vit: a timm ``VisionTransformer`` that passes ``require_plain_vit``.
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
        assert isinstance(vit, VisionTransformer)
        self.vit = vit
        self.template_grid, self.search_grid = template_size // patch, search_size // patch
        self.ce_blocks = frozenset(ce_blocks)
        self.asymmetric_attention = asymmetric_attention
        self.keep_ratio = 1.0
        # frozen: distributed training waits for the gradient of every trainable parameter, and these get none
        unused = (vit.cls_token, vit.reg_token, vit.pos_embed, getattr(vit, "dist_token", None))
        for parameter in unused:
            if parameter is not None:
                parameter.requires_grad_(False)
        self.template_positions = nn.Parameter(resize_pos_embed(vit, self.template_grid))
        self.search_positions = nn.Parameter(resize_pos_embed(vit, self.search_grid))
        # the tables are made for the larger grid; the offsets within the template are a part of its offsets
        for block in vit.blocks:
            if isinstance(block.attn, RelPosAttention):
                block.attn.set_grid((self.search_grid, self.search_grid))

    @property
    def embed_dim(self) -> int:
        """Number of channels of a token."""
        return int(self.vit.embed_dim)

    @property
    def center_index(self) -> int:
        """Index of the template's center token: row and column (side / 2 - 1) of an even grid, as in OSTrack."""
        middle = (self.template_grid - 1) // 2
        return middle * self.template_grid + middle

    def no_weight_decay(self) -> set[str]:
        """Return the names of the position embeddings, which get no weight decay."""
        return {"template_positions", "search_positions"}

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """Compute features of the search region.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).
            search: normalized search crops, shape (batch, 3, side, side).

        Returns:
            Features of the search tokens row by row, shape (batch, search_grid ** 2, channels); zeros where a token was
            dropped.
        """
        # (batch, template + search tokens, channels), the template first
        tokens = torch.cat([self._embed_patches(template, True), self._embed_patches(search, False)], 1)
        # places holds the grid index of each remaining search token, so that features can return to their cells
        count, places = self.template_grid**2, self._all_token_indices(search)
        for number, block in enumerate(self.vit.blocks):
            normed = block.norm1(tokens)
            q, k, v = project_qkv(block.attn, normed)
            search_bias = self._search_bias(block.attn, places, count)
            bias = self._joint_bias(block.attn, search_bias, count)
            if self.asymmetric_attention:
                # two calls: template queries see the template only, search queries see everything
                first = None if bias is None else bias[:, :, :count, :count]
                head = compute_attention(block.attn, q[:, :, :count], k[:, :, :count], v[:, :, :count], first)
                out = torch.cat([head, compute_attention(block.attn, q[:, :, count:], k, v, search_bias)], 2)
            else:
                out = compute_attention(block.attn, q, k, v, bias)
            tokens = tokens + block.drop_path1(block.ls1(merge_heads(block.attn, out, normed)))
            # between attention and MLP, so that the MLP is not computed for dropped tokens
            if number in self.ce_blocks:
                center_query = q[:, :, self.center_index : self.center_index + 1]
                kept, places = self._eliminate_tokens(block.attn, center_query, k, tokens[:, count:], places)
                tokens = torch.cat([tokens[:, :count], kept], 1)
            tokens = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
        return self._scatter_tokens(self._final_norm(tokens[:, count:]), places)

    def encode_template(self, template: Tensor) -> list[TemplateKV]:
        """Run a template through all blocks and return what ``forward_cached`` needs of each.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).

        Returns:
            One entry per block.
        """
        assert self.asymmetric_attention, "a template that attends to the search region cannot be encoded alone"
        tokens, cells, memory = self._embed_patches(template, True), self._template_cell_indices(), []
        for block in self.vit.blocks:
            normed = block.norm1(tokens)
            q, k, v = project_qkv(block.attn, normed)
            memory.append(TemplateKV(k, v, q[:, :, self.center_index : self.center_index + 1]))
            bias = None
            if isinstance(block.attn, RelPosAttention):
                bias = get_patch_bias(block.attn)[:, cells][:, :, cells][None]
            out = compute_attention(block.attn, q, k, v, bias)
            tokens = tokens + block.drop_path1(block.ls1(merge_heads(block.attn, out, normed)))
            tokens = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
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
        for number, (block, old) in enumerate(zip(self.vit.blocks, template_kv, strict=True)):
            normed = block.norm1(tokens)
            q, k, v = project_qkv(block.attn, normed)
            # template keys come first as in forward, so bias and elimination find them in the same columns
            k, v = torch.cat([old.keys, k], 2), torch.cat([old.values, v], 2)
            out = compute_attention(block.attn, q, k, v, self._search_bias(block.attn, places, old.keys.shape[2]))
            tokens = tokens + block.drop_path1(block.ls1(merge_heads(block.attn, out, normed)))
            if number in self.ce_blocks:
                tokens, places = self._eliminate_tokens(block.attn, old.center_query, k, tokens, places)
            tokens = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
        return self._scatter_tokens(self._final_norm(tokens), places)

    def _embed_patches(self, images: Tensor, is_template: bool) -> Tensor:
        """Embed the patches of one crop and add the positions of its grid: shape (batch, patches, channels)."""
        cells: Tensor = self.vit.patch_embed(images)
        cells = cells.flatten(1, 2) if cells.ndim == 4 else cells  # timm's NHWC output to tokens
        positions = self.template_positions if is_template else self.search_positions
        embedded: Tensor = self.vit.norm_pre(self.vit.pos_drop(cells + positions))
        return embedded

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
        picked = tokens.gather(1, best[..., None].expand(-1, -1, tokens.shape[2]))
        return picked, token_indices.gather(1, best)

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
        line = torch.arange(self.template_grid, device=self.search_positions.device)
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


def resize_pos_embed(vit: VisionTransformer, grid_size: int) -> Tensor:
    """Return a backbone's position embeddings of patches on another square grid.

    Args:
        vit: the backbone.
        grid_size: number of patches per side of the new grid.

    Returns:
        Shape (1, grid_size ** 2, channels).
    """
    positions = vit.pos_embed.detach()
    rows, columns = vit.patch_embed.grid_size
    # prefix tokens, if they have positions, come first
    patches = positions[:, positions.shape[1] - rows * columns :]
    # an image with the channels first, as interpolate expects it; no antialias, as in OSTrack
    chart = patches.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    chart = functional.interpolate(chart, size=(grid_size, grid_size), mode="bicubic", align_corners=False)
    return chart.flatten(2).transpose(1, 2).contiguous()


def get_patch_bias(attn: RelPosAttention) -> Tensor:
    """Return the bias between the patches of the search grid, without the class token: shape (heads, patches, patches).

    Args:
        attn: attention module with a relative position bias.
    """
    return attn.compute_bias()[0, :, 1:, 1:]


def project_qkv(attn: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute queries, keys and values as timm's attention does.

    Args:
        attn: timm's attention module.
        tokens: normalized tokens, shape (batch, tokens, channels).

    Returns:
        Queries, keys and values, each of shape (batch, heads, tokens, head channels).
    """
    # (batch, tokens, 3 * channels) -> (3, batch, heads, tokens, head channels)
    qkv = attn.qkv(tokens).reshape(*tokens.shape[:2], 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.unbind(0)
    return attn.q_norm(q), attn.k_norm(k), v


def compute_attention(attn: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Compute fused attention with timm's dropout.

    Args:
        attn: timm's attention module.
        q: queries, shape (batch, heads, queries, head channels).
        k: keys, shape (batch, heads, keys, head channels).
        v: values, shape (batch, heads, keys, head channels).
        bias: numbers added to the logits, broadcast to (batch, heads, queries, keys); ``None`` for none.

    Returns:
        Shape (batch, heads, queries, head channels).
    """
    dropout = attn.attn_drop.p if attn.training else 0.0
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)


def merge_heads(attn: Any, out: Tensor, tokens: Tensor) -> Tensor:
    """Join the heads and project them, with timm's optional norm and gate.

    Args:
        attn: timm's attention module.
        out: attention of each head, shape (batch, heads, tokens, head channels).
        tokens: input of the attention module, for the gate, shape (batch, tokens, channels).

    Returns:
        Shape (batch, tokens, channels).
    """
    joined = attn.norm(out.transpose(1, 2).flatten(2))
    gate = getattr(attn, "gate", None)
    if gate is not None:
        joined = joined * gate(tokens).sigmoid()
    projected: Tensor = attn.proj_drop(attn.proj(joined))
    return projected
