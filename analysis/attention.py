"""Attention of a plain ViT: how far each head looks (mean attention distance) and how widely (entropy).

Source: arXiv 2205.14443; wangsr126/MAE-Lite: the logits of the patches alone, that is without the row and column of
prefix tokens, then softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from timm.layers import Attention, PatchEmbed
from torch import Tensor, nn

from analysis.representations import find_blocks
from backbones.architectures.rpe import RelPosAttention
from backbones.features import get_reductions, is_plain_backbone
from foundation.errors import BenchError, UserError

ENTROPY_EPS = 1e-6
"""Inside the entropy's logarithm, as in the papers' code."""

PAPER_STEP_PX = 14.0
"""Pixels a grid step in the papers' code, although their patches have 16."""

_OTHER_ANALYSES = "cka, layers, data-scale, spectrum, neighbours and pca work with it"


def find_attention_modules(model: nn.Module) -> list[Attention]:
    """The attention of each block, shallow to deep.

    Raises:
        UserError: attention that is not over all tokens, or not timm's; says which analyses work.
    """
    kind = type(model).__name__
    if not is_plain_backbone(model):
        raise UserError(
            f"{kind} is hierarchical: it has no attention over the whole image in every block, so there is no distance "
            f"or entropy that compares; {_OTHER_ANALYSES}"
        )
    found = [block.module.attn for block in find_blocks(model)]
    for module in found:
        if not isinstance(module, Attention):
            raise UserError(
                f"{kind} has attention of its own ({type(module).__name__}), whose logits are not read; "
                f"{_OTHER_ANALYSES}"
            )
    return found


def compute_attention_logits(module: Attention, tokens: Tensor) -> Tensor:
    """The scaled logits before softmax, a relative position bias included: (n, heads, T, T).

    Args:
        module: the attention.
        tokens: its input, (n, T, C).
    """
    query, key, _ = _project_qkv(module, tokens)
    logits: Tensor = (query * module.scale) @ key.transpose(-2, -1)
    return logits + module.compute_bias() if isinstance(module, RelPosAttention) else logits


def _project_qkv(module: Attention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count, length, _ = tokens.shape
    heads = module.qkv(tokens).reshape(count, length, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
    return module.q_norm(heads[0]), module.k_norm(heads[1]), heads[2]


def _attend_with_logits(module: Attention, tokens: Tensor, logits: Tensor) -> Tensor:
    """What the module should give if these are its logits."""
    mixed = logits.softmax(-1) @ _project_qkv(module, tokens)[2]
    mixed = mixed.transpose(1, 2).flatten(2)
    return module.proj(getattr(module, "norm", nn.Identity())(mixed))  # type: ignore[no-any-return]


def read_attention(
    model: nn.Module, images: Tensor, on_logits: Callable[[int, Tensor], None], check: bool = True
) -> Tensor:
    """Run the model as it is, fused attention and all, and hand each block's logits to ``on_logits``.

    Logits are computed a second time beside the model, from the input of each attention; its own output is not
    touched. With ``check`` what they would give is compared with what the module gave: attention with a gate, a mask
    or another scale is never read wrongly.

    Args:
        model: a plain timm ViT in eval mode.
        images: (n, 3, S, S) on the model's device.
        on_logits: takes block number and logits (n, heads, T, T), prefix tokens first.
        check: compare; once a backbone is enough.

    Returns:
        The model's output of ``forward_features``.

    Raises:
        UserError: attention that cannot be read.
        BenchError: attention that is read wrongly.
    """

    def hook(place: int) -> Callable[[Attention, tuple[Tensor], Tensor], None]:
        def read(module: Attention, inputs: tuple[Tensor], output: Tensor) -> None:
            logits = compute_attention_logits(module, inputs[0])
            if check:
                _require_same_output(
                    _attend_with_logits(module, inputs[0], logits), output, place, type(model).__name__
                )
            on_logits(place, logits)

        return read

    forward: Any = model.forward_features
    with ExitStack() as hooks, torch.inference_mode():
        for place, module in enumerate(find_attention_modules(model)):
            hooks.callback(module.register_forward_hook(hook(place)).remove)
        result: Tensor = forward(images)
    return result


def _require_same_output(recomputed: Tensor, output: Tensor, block_index: int, model_name: str) -> None:
    worst = float((recomputed - output).abs().max() / output.abs().max().clamp_min(1e-12))
    if not worst <= 1e-2:  # TF32 on a GPU moves the third digit
        raise BenchError(
            f"the attention of block {block_index} of {model_name} is not softmax(q k / scale) v alone (its output is "
            f"off by {worst:.2g}), so its logits cannot be read; {_OTHER_ANALYSES}"
        )


def softmax_over_patches(logits: Tensor, num_prefix_tokens: int) -> Tensor:
    """Attention among patches, (n, heads, N, N): prefix rows and columns are dropped, then softmax."""
    return logits[:, :, num_prefix_tokens:, num_prefix_tokens:].softmax(-1)


class PatchGrid(NamedTuple):
    """Height and width of a patch in pixels, and rows and columns of patches."""

    patch_size: tuple[int, int]
    grid_size: tuple[int, int]


def get_patch_grid(model: nn.Module, img_size: int) -> PatchGrid:
    """How a plain ViT cuts squares of ``img_size`` pixels; a rest is padded where the model does so."""
    embed = getattr(model, "patch_embed", None)
    step = get_reductions(model)[-1]
    height, width = embed.patch_size if isinstance(embed, PatchEmbed) else (step, step)
    return PatchGrid((int(height), int(width)), (-(-img_size // int(height)), -(-img_size // int(width))))


def compute_grid_distances(grid_size: tuple[int, int], spacing: tuple[float, float]) -> Tensor:
    """Euclidean distance of each two cells of a grid, (N, N), row by row.

    Args:
        grid_size: rows and columns.
        spacing: pixels from row to row and from column to column.

    >>> compute_grid_distances((1, 3), (16.0, 16.0))[0].tolist()
    [0.0, 16.0, 32.0]
    """
    rows, columns = torch.meshgrid(torch.arange(grid_size[0]), torch.arange(grid_size[1]), indexing="ij")
    places = torch.stack([rows.flatten() * spacing[0], columns.flatten() * spacing[1]], 1)
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")


def mean_attention_distance(attention: Tensor, distances: Tensor) -> Tensor:
    """Mean over queries of the distance that attention reaches, (n, heads), in the unit of ``distances`` (N, N)."""
    return torch.einsum("nhqk,qk->nhq", attention, distances.to(attention)).mean(-1)


def mean_attention_entropy(attention: Tensor) -> Tensor:
    """Mean over queries of the entropy of attention (n, heads, N, N), in nats: (n, heads)."""
    return -(attention * (attention + ENTROPY_EPS).log()).sum(-1).mean(-1)


class AttentionAccumulator:
    """Sums over images of distance and entropy by block and head: all that is kept.

    Args:
        distances: (N, N), pixels.
        num_prefix_tokens: tokens before the patches.
    """

    def __init__(self, distances: Tensor, num_prefix_tokens: int) -> None:
        self.distances = distances
        self.num_prefix_tokens = num_prefix_tokens
        self._sums: dict[int, Tensor] = {}
        self._num_images: dict[int, int] = {}

    def update(self, block_index: int, logits: Tensor) -> None:
        """Add a block's logits (n, heads, T, T) of a batch.

        Raises:
            BenchError: other tokens than prefix and patches.
        """
        if logits.shape[-1] != self.num_prefix_tokens + len(self.distances):
            raise BenchError(
                f"block {block_index} has {logits.shape[-1]} tokens where {self.num_prefix_tokens} prefix and "
                f"{len(self.distances)} patch tokens were expected, so there are no distances between them"
            )
        attention = softmax_over_patches(logits.float(), self.num_prefix_tokens)
        both = torch.stack([mean_attention_distance(attention, self.distances), mean_attention_entropy(attention)])
        self._sums[block_index] = self._sums.get(block_index, 0) + both.double().sum(1).cpu()
        self._num_images[block_index] = self._num_images.get(block_index, 0) + len(logits)

    def compute(self) -> tuple[list[list[float]], list[list[float]]]:
        """Mean distance (pixels) and entropy (nats) by block and head.

        Raises:
            BenchError: attention that is not finite.
        """
        means = [self._sums[place] / self._num_images[place] for place in sorted(self._sums)]
        for place, mean in enumerate(means):
            if not bool(mean.isfinite().all()):
                raise BenchError(f"the attention of block {place} is not finite; check the start weights")
        return [mean[0].tolist() for mean in means], [mean[1].tolist() for mean in means]
