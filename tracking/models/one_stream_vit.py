"""One stream: template and search tokens through a plain ViT's own blocks, as in OSTrack (arXiv 2203.11991)."""

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
    """What one block needs of a template that attends to itself only: keys, values (N, heads, T, d), centre query."""

    keys: Tensor
    values: Tensor
    center_query: Tensor


class OneStreamViT(nn.Module):
    """A plain ViT over two images at once.

    Positions of each grid are the backbone's own, resized bicubically (align_corners False, no antialias) and then
    trained; the sequence has neither class token nor segment embedding. What the joint sequence does not use (class
    token, the original positions) stays in the backbone, frozen.

    Args:
        vit: a timm ``VisionTransformer`` that keeps the contract.
        template_size, search_size: sides of the crops, pixels.
        ce_blocks: blocks (from 0) after whose attention search tokens are dropped: those the template's centre token
            attends to least, averaged over heads.
        asymmetric_attention: the template attends to itself only, so that its keys and values can be remembered,
            exactly.

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
        self.keep_ratio = 1.0  # share of the search tokens that an eliminating block keeps
        unused = (vit.cls_token, vit.reg_token, vit.pos_embed, getattr(vit, "dist_token", None))
        for parameter in unused:
            if parameter is not None:
                parameter.requires_grad_(False)
        self.template_positions = nn.Parameter(resize_pos_embed(vit, self.template_grid))
        self.search_positions = nn.Parameter(resize_pos_embed(vit, self.search_grid))
        for block in vit.blocks:
            if isinstance(block.attn, RelPosAttention):
                block.attn.set_grid((self.search_grid, self.search_grid))

    @property
    def embed_dim(self) -> int:
        """Channels of a token."""
        return int(self.vit.embed_dim)

    @property
    def center_index(self) -> int:
        """The template's centre token: row and column (side / 2 - 1) of an even grid, as in OSTrack."""
        middle = (self.template_grid - 1) // 2
        return middle * self.template_grid + middle

    def no_weight_decay(self) -> set[str]:
        """Positions, by name."""
        return {"template_positions", "search_positions"}

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """Features of the search region.

        Args:
            template, search: (N, 3, side, side), normalised.

        Returns:
            (N, tokens of the search grid, width), row by row; zeros where a token was dropped.
        """
        tokens = torch.cat([self._embed_patches(template, True), self._embed_patches(search, False)], 1)
        count, places = self.template_grid**2, self._all_token_indices(search)
        for number, block in enumerate(self.vit.blocks):
            normed = block.norm1(tokens)
            q, k, v = project_qkv(block.attn, normed)
            search_bias = self._search_bias(block.attn, places, count)
            bias = self._joint_bias(block.attn, search_bias, count)
            if self.asymmetric_attention:
                first = None if bias is None else bias[:, :, :count, :count]
                head = compute_attention(block.attn, q[:, :, :count], k[:, :, :count], v[:, :, :count], first)
                out = torch.cat([head, compute_attention(block.attn, q[:, :, count:], k, v, search_bias)], 2)
            else:
                out = compute_attention(block.attn, q, k, v, bias)
            tokens = tokens + block.drop_path1(block.ls1(merge_heads(block.attn, out, normed)))
            if number in self.ce_blocks:
                centre = q[:, :, self.center_index : self.center_index + 1]
                kept, places = self._eliminate_tokens(block.attn, centre, k, tokens[:, count:], places)
                tokens = torch.cat([tokens[:, :count], kept], 1)
            tokens = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
        return self._scatter_tokens(self._final_norm(tokens[:, count:]), places)

    def encode_template(self, template: Tensor) -> list[TemplateKV]:
        """A template's part of every block, for ``forward_cached``; only where the template attends to itself."""
        assert self.asymmetric_attention, "a template that attends to the search region cannot be remembered"
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
        """``forward`` with a remembered template: the same numbers, without its tokens."""
        tokens, places = self._embed_patches(search, False), self._all_token_indices(search)
        for number, (block, old) in enumerate(zip(self.vit.blocks, template_kv, strict=True)):
            normed = block.norm1(tokens)
            q, k, v = project_qkv(block.attn, normed)
            k, v = torch.cat([old.keys, k], 2), torch.cat([old.values, v], 2)
            out = compute_attention(block.attn, q, k, v, self._search_bias(block.attn, places, old.keys.shape[2]))
            tokens = tokens + block.drop_path1(block.ls1(merge_heads(block.attn, out, normed)))
            if number in self.ce_blocks:
                tokens, places = self._eliminate_tokens(block.attn, old.center_query, k, tokens, places)
            tokens = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
        return self._scatter_tokens(self._final_norm(tokens), places)

    def _embed_patches(self, images: Tensor, is_template: bool) -> Tensor:
        cells: Tensor = self.vit.patch_embed(images)
        cells = cells.flatten(1, 2) if cells.ndim == 4 else cells
        positions = self.template_positions if is_template else self.search_positions
        embedded: Tensor = self.vit.norm_pre(self.vit.pos_drop(cells + positions))
        return embedded

    def _final_norm(self, tokens: Tensor) -> Tensor:
        """The one norm at the end: weights that average patch tokens keep it as ``fc_norm``."""
        normed: Tensor = self.vit.fc_norm(self.vit.norm(tokens))
        return normed

    def _eliminate_tokens(
        self, attn: Any, center_query: Tensor, keys: Tensor, tokens: Tensor, token_indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The search tokens that stay, and their places, by the centre's attention to them."""
        count = ceil(self.keep_ratio * tokens.shape[1])
        if count == tokens.shape[1]:
            return tokens, token_indices
        logits = center_query @ keys.transpose(-2, -1) * attn.scale
        if isinstance(attn, RelPosAttention):  # of the centre on the template; there is none on search tokens
            cells = self._template_cell_indices()
            own = get_patch_bias(attn)[:, cells[self.center_index]][:, cells]
            logits = logits + functional.pad(own, (0, tokens.shape[1]))[:, None]
        row = logits.softmax(-1).mean(1)[:, 0, -tokens.shape[1] :]
        best = row.argsort(dim=1, descending=True, stable=True)[:, :count]
        picked = tokens.gather(1, best[..., None].expand(-1, -1, tokens.shape[2]))
        return picked, token_indices.gather(1, best)

    def _all_token_indices(self, search: Tensor) -> Tensor:
        return torch.arange(self.search_grid**2, device=search.device).expand(len(search), -1)

    def _scatter_tokens(self, tokens: Tensor, token_indices: Tensor) -> Tensor:
        if tokens.shape[1] == self.search_grid**2:
            return tokens
        whole = tokens.new_zeros(len(tokens), self.search_grid**2, tokens.shape[2])
        return whole.scatter(1, token_indices[..., None].expand_as(tokens), tokens)

    def _template_cell_indices(self) -> Tensor:
        """The template's grid as the top-left part of the search grid: offsets between its tokens are the same."""
        line = torch.arange(self.template_grid, device=self.search_positions.device)
        return (line[:, None] * self.search_grid + line[None]).flatten()

    def _search_bias(self, attn: nn.Module, token_indices: Tensor, num_template_tokens: int) -> Tensor | None:
        """Relative position bias of search queries (1 or N first): none on template keys, by offset on search keys."""
        if not isinstance(attn, RelPosAttention):
            return None
        bias = get_patch_bias(attn)[None]
        if token_indices.shape[1] < self.search_grid**2:  # the images of a batch have dropped different tokens
            bias = bias[0][:, token_indices[:, :, None], token_indices[:, None, :]].transpose(0, 1)
        return functional.pad(bias, (num_template_tokens, 0))

    def _joint_bias(self, attn: nn.Module, search_bias: Tensor | None, num_template_tokens: int) -> Tensor | None:
        """The bias of all queries: within the template, within the search region, none between them."""
        if search_bias is None:
            return None
        assert isinstance(attn, RelPosAttention)
        cells = self._template_cell_indices()
        own = get_patch_bias(attn)[:, cells][:, :, cells].expand(len(search_bias), -1, -1, -1)
        return torch.cat([functional.pad(own, (0, search_bias.shape[3] - num_template_tokens)), search_bias], 2)


def resize_pos_embed(vit: VisionTransformer, grid_size: int) -> Tensor:
    """The backbone's patch positions on another square grid: (1, grid * grid, width)."""
    positions = vit.pos_embed.detach()
    rows, columns = vit.patch_embed.grid_size
    patches = positions[:, positions.shape[1] - rows * columns :]
    chart = patches.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    chart = functional.interpolate(chart, size=(grid_size, grid_size), mode="bicubic", align_corners=False)
    return chart.flatten(2).transpose(1, 2).contiguous()


def get_patch_bias(attn: RelPosAttention) -> Tensor:
    """The bias between the patches of the search grid, without the class token: (heads, S, S)."""
    return attn.compute_bias()[0, :, 1:, 1:]


def project_qkv(attn: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of timm's attention, (N, heads, tokens, d) each."""
    qkv = attn.qkv(tokens).reshape(*tokens.shape[:2], 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.unbind(0)
    return attn.q_norm(q), attn.k_norm(k), v


def compute_attention(attn: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Fused attention with timm's dropout."""
    dropout = attn.attn_drop.p if attn.training else 0.0
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)


def merge_heads(attn: Any, out: Tensor, tokens: Tensor) -> Tensor:
    """Heads joined and projected, with timm's optional norm and gate."""
    joined = attn.norm(out.transpose(1, 2).flatten(2))
    gate = getattr(attn, "gate", None)
    if gate is not None:
        joined = joined * gate(tokens).sigmoid()
    projected: Tensor = attn.proj_drop(attn.proj(joined))
    return projected
