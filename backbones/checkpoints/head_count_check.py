"""The permutation test behind the head-count probe (see ``backbones.checkpoints.attention_heads``)."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

NUM_PERMUTATIONS = 100
MAX_LAYERS_BY_WIDTH = {256: 12, 512: 6}
"""Layers looked at, by width; 4 above. The test is quadratic in the width, and sharp with a few layers."""

MAX_CHUNK_ELEMENTS = 1 << 21
"""Numbers held at once for a batch of permutations."""

AttentionWeights = tuple[Tensor, Tensor]


def compute_head_z(layers: Sequence[AttentionWeights], num_heads: int, alternatives: Sequence[int]) -> float:
    """How strongly attention weights speak against a head count.

    For each other count, the likeness of channels within that count's groups is compared with what it is when
    channels are permuted within the assumed heads, and those heads among themselves.

    Args:
        layers: ``qkv`` weight (3d x in) and ``proj`` weight (out x d) of each attention layer.
        num_heads: the count assumed.
        alternatives: counts it could be instead; all divide d.

    Returns:
        The largest deviation in standard deviations; 0 where no permutation is beaten by half as much again
        (few heads or channels allow few permutations, and then nothing can be said).
    """
    if not alternatives:
        return 0.0
    width = layers[0][1].shape[1]
    layers = _subsample_layers(layers, width)
    step = gcd(width, *(width // count for count in (num_heads, *alternatives)))
    ranks = torch.stack([_norm_ranks(qkv, proj) for qkv, proj in layers])
    angles = torch.stack([_squared_cosines(qkv, proj) for qkv, proj in layers])
    generator = torch.Generator().manual_seed(0)
    same = torch.arange(width).expand(1, len(layers), width)
    orders = torch.cat([same, _draw_permutations(len(layers), width, num_heads, generator)])
    chunk = max(1, MAX_CHUNK_ELEMENTS // (len(layers) * width * max(width // step, 1)))
    parts = [orders[start : start + chunk] for start in range(0, len(orders), chunk)]
    # Statistics for each drawing (the first is the file as it is): drawings x likenesses x other counts x layers.
    values = torch.cat([_within_head_similarity(ranks, angles, part, step, alternatives) for part in parts])
    seen, draws = values[0], values[1:]
    spread = draws.std(0)
    scale = torch.where(spread > 1e-6 * (1e-6 + seen.abs()), 1 / spread, 0.0) / len(layers) ** 0.5
    observed = ((seen - draws.mean(0)) * scale).sum(-1).abs()
    chance = ((draws - draws.mean(0)) * scale).sum(-1).abs().amax(0)
    return float(torch.where(observed > 1.5 * chance, observed, 0.0).max())


def _subsample_layers(layers: Sequence[AttentionWeights], width: int) -> Sequence[AttentionWeights]:
    limit = next((count for size, count in MAX_LAYERS_BY_WIDTH.items() if width <= size), 4)
    if len(layers) <= limit:
        return layers
    return [layers[i * (len(layers) - 1) // (limit - 1)] for i in range(limit)]


def _norm_ranks(qkv: Tensor, proj: Tensor) -> Tensor:
    """Ranks of the channels by the norms of their q, k, v rows and proj columns, centred: 4 x width."""
    width = proj.shape[1]
    norms = torch.stack([rows.norm(dim=1) for rows in (*qkv.view(3, width, -1), proj.T)])
    ranks = norms.argsort(dim=1).argsort(dim=1).double()
    return (ranks - ranks.mean(dim=1, keepdim=True)) / width


def _squared_cosines(qkv: Tensor, proj: Tensor) -> Tensor:
    """The squared cosine between channels' q rows, k rows, v rows and proj columns, summed: width x width."""
    width = proj.shape[1]
    total = torch.zeros(width, width)
    for rows in (*qkv.view(3, width, -1), proj.T):
        unit = F.normalize(rows, dim=1)
        total += (unit @ unit.T) ** 2
    return total.fill_diagonal_(0)


def _draw_permutations(num_layers: int, width: int, num_heads: int, generator: torch.Generator) -> Tensor:
    """Permutations of channels within heads and of heads, drawn for each layer: drawings x layers x width."""
    size = width // num_heads
    order = torch.rand(NUM_PERMUTATIONS, num_layers, num_heads, generator=generator).argsort(-1)
    inside = torch.rand(NUM_PERMUTATIONS, num_layers, num_heads, size, generator=generator).argsort(-1)
    return (order[..., None] * size + inside).flatten(2)


def _within_head_similarity(ranks: Tensor, angles: Tensor, orders: Tensor, step: int, counts: Sequence[int]) -> Tensor:
    """Likeness within the heads of each count, for channels in given orders.

    Args:
        ranks, angles: layers x 4 x width, layers x width x width.
        orders: drawings x layers x width; which channel stands at each place.
        step: places that every count keeps together.
        counts: head counts.

    Returns:
        drawings x 2 (norms, angles) x counts x layers.
    """
    drawings, layers, width = orders.shape
    groups = width // step
    group = (torch.arange(width) // step).expand_as(orders)
    member = torch.zeros(layers, width, drawings, groups)  # which group of places a channel comes to stand in
    member[torch.arange(layers)[:, None], orders, torch.arange(drawings)[:, None, None], group] = 1.0
    flat = member.view(layers, width, -1)
    sums = (ranks @ flat.double()).view(layers, 4, drawings, groups)
    half = (angles @ flat).view(layers, width, drawings, groups)  # one product for all drawings
    cells = member.permute(2, 0, 3, 1) @ half.permute(2, 0, 1, 3)
    by_norm, by_angle = [], []
    for count in counts:
        size = groups // count
        by_norm.append(sums.reshape(layers, 4, drawings, count, size).sum(-1).square().sum((1, 3)).T)
        blocks = cells.reshape(drawings, layers, count, size, count, size).sum((3, 5))
        by_angle.append(blocks.diagonal(dim1=-2, dim2=-1).sum(-1).double())
    return torch.stack([torch.stack(by_norm, 1), torch.stack(by_angle, 1)], 1)
