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

from analysis.representations import blocks
from backbones.architectures.rpe import RelPosAttention
from backbones.features import is_plain, reductions
from foundation.errors import BenchError, UserError

EPSILON = 1e-6
"""Inside the entropy's logarithm, as in the papers' code."""

PAPERS_FACTOR = 14.0
"""Pixels a grid step in the papers' code, although their patches have 16."""

_INSTEAD = "cka, layers, data-scale, spectrum, neighbours and pca work with it"


def attention_modules(model: nn.Module) -> list[Attention]:
    """The attention of each block, shallow to deep.

    Raises:
        UserError: attention that is not over all tokens, or not timm's; says which analyses work.
    """
    kind = type(model).__name__
    if not is_plain(model):
        raise UserError(
            f"{kind} is hierarchical: it has no attention over the whole image in every block, so there is no distance "
            f"or entropy that compares; {_INSTEAD}"
        )
    found = [block.module.attn for block in blocks(model)]
    for module in found:
        if not isinstance(module, Attention):
            raise UserError(
                f"{kind} has attention of its own ({type(module).__name__}), whose logits are not read; {_INSTEAD}"
            )
    return found


def logits_of(module: Attention, tokens: Tensor) -> Tensor:
    """The scaled logits before softmax, a relative position bias included: (n, heads, T, T).

    Args:
        module: the attention.
        tokens: its input, (n, T, C).
    """
    query, key, _ = _parts(module, tokens)
    logits: Tensor = (query * module.scale) @ key.transpose(-2, -1)
    return logits + module.bias() if isinstance(module, RelPosAttention) else logits


def _parts(module: Attention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count, length, _ = tokens.shape
    heads = module.qkv(tokens).reshape(count, length, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
    return module.q_norm(heads[0]), module.k_norm(heads[1]), heads[2]


def _output(module: Attention, tokens: Tensor, logits: Tensor) -> Tensor:
    """What the module should give if these are its logits."""
    mixed = logits.softmax(-1) @ _parts(module, tokens)[2]
    mixed = mixed.transpose(1, 2).flatten(2)
    return module.proj(getattr(module, "norm", nn.Identity())(mixed))  # type: ignore[no-any-return]


def read_attention(model: nn.Module, images: Tensor, see: Callable[[int, Tensor], None], check: bool = True) -> Tensor:
    """Run the model as it is, fused attention and all, and hand each block's logits to ``see``.

    Logits are computed a second time beside the model, from the input of each attention; its own output is not
    touched. With ``check`` what they would give is compared with what the module gave: attention with a gate, a mask
    or another scale is never read wrongly.

    Args:
        model: a plain timm ViT in eval mode.
        images: (n, 3, S, S) on the model's device.
        see: takes block number and logits (n, heads, T, T), prefix tokens first.
        check: compare; once a backbone is enough.

    Returns:
        The model's output of ``forward_features``.

    Raises:
        UserError: attention that cannot be read.
        BenchError: attention that is read wrongly.
    """

    def hook(place: int) -> Callable[[Attention, tuple[Tensor], Tensor], None]:
        def read(module: Attention, inputs: tuple[Tensor], output: Tensor) -> None:
            logits = logits_of(module, inputs[0])
            if check:
                _require_same(_output(module, inputs[0], logits), output, place, type(model).__name__)
            see(place, logits)

        return read

    forward: Any = model.forward_features
    with ExitStack() as hooks, torch.inference_mode():
        for place, module in enumerate(attention_modules(model)):
            hooks.callback(module.register_forward_hook(hook(place)).remove)
        result: Tensor = forward(images)
    return result


def _require_same(again: Tensor, output: Tensor, place: int, kind: str) -> None:
    worst = float((again - output).abs().max() / output.abs().max().clamp_min(1e-12))
    if not worst <= 1e-2:  # TF32 on a GPU moves the third digit
        raise BenchError(
            f"the attention of block {place} of {kind} is not softmax(q k / scale) v alone (its output is off by "
            f"{worst:.2g}), so its logits cannot be read; {_INSTEAD}"
        )


def patch_attention(logits: Tensor, prefix: int) -> Tensor:
    """Attention among patches, (n, heads, N, N): prefix rows and columns are dropped, then softmax."""
    return logits[:, :, prefix:, prefix:].softmax(-1)


class Patches(NamedTuple):
    """Height and width of a patch in pixels, and rows and columns of patches."""

    size: tuple[int, int]
    grid: tuple[int, int]


def patches_of(model: nn.Module, side: int) -> Patches:
    """How a plain ViT cuts squares of ``side`` pixels; a rest is padded where the model does so."""
    embed = getattr(model, "patch_embed", None)
    step = reductions(model)[-1]
    height, width = embed.patch_size if isinstance(embed, PatchEmbed) else (step, step)
    return Patches((int(height), int(width)), (-(-side // int(height)), -(-side // int(width))))


def grid_distances(grid: tuple[int, int], step: tuple[float, float]) -> Tensor:
    """Euclidean distance of each two cells of a grid, (N, N), row by row.

    Args:
        grid: rows and columns.
        step: pixels from row to row and from column to column.

    >>> grid_distances((1, 3), (16.0, 16.0))[0].tolist()
    [0.0, 16.0, 32.0]
    """
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    places = torch.stack([rows.flatten() * step[0], columns.flatten() * step[1]], 1)
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")


def mean_distance(attention: Tensor, distances: Tensor) -> Tensor:
    """Mean over queries of the distance that attention reaches, (n, heads), in the unit of ``distances`` (N, N)."""
    return torch.einsum("nhqk,qk->nhq", attention, distances.to(attention)).mean(-1)


def mean_entropy(attention: Tensor) -> Tensor:
    """Mean over queries of the entropy of attention (n, heads, N, N), in nats: (n, heads)."""
    return -(attention * (attention + EPSILON).log()).sum(-1).mean(-1)


class AttentionSums:
    """Sums over images of distance and entropy by block and head: all that is kept.

    Args:
        distances: (N, N), pixels.
        prefix: tokens before the patches.
    """

    def __init__(self, distances: Tensor, prefix: int) -> None:
        self.distances = distances
        self.prefix = prefix
        self._sums: dict[int, Tensor] = {}
        self._images: dict[int, int] = {}

    def see(self, place: int, logits: Tensor) -> None:
        """Add a block's logits (n, heads, T, T) of a batch.

        Raises:
            BenchError: other tokens than prefix and patches.
        """
        if logits.shape[-1] != self.prefix + len(self.distances):
            raise BenchError(
                f"block {place} has {logits.shape[-1]} tokens where {self.prefix} prefix and {len(self.distances)} "
                "patch tokens were expected, so there are no distances between them"
            )
        attention = patch_attention(logits.float(), self.prefix)
        both = torch.stack([mean_distance(attention, self.distances), mean_entropy(attention)])
        self._sums[place] = self._sums.get(place, 0) + both.double().sum(1).cpu()
        self._images[place] = self._images.get(place, 0) + len(logits)

    def values(self) -> tuple[list[list[float]], list[list[float]]]:
        """Mean distance (pixels) and entropy (nats) by block and head.

        Raises:
            BenchError: attention that is not finite.
        """
        means = [self._sums[place] / self._images[place] for place in sorted(self._sums)]
        for place, mean in enumerate(means):
            if not bool(mean.isfinite().all()):
                raise BenchError(f"the attention of block {place} is not finite; check the start weights")
        return [mean[0].tolist() for mean in means], [mean[1].tolist() for mean in means]
