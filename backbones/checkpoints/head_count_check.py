"""The permutation test of a head count. ``backbones.checkpoints.attention_heads`` explains why it works.

Two statistics measure how similar the channels within groups of consecutive channels are: by norms and by angles.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

NUM_PERMUTATIONS = 100
MAX_LAYERS_BY_WIDTH = {256: 12, 512: 6}
"""Layers analyzed, by largest width; 4 above. The cost is quadratic in the width, and a few layers are enough."""

MAX_CHUNK_ELEMENTS = 1 << 21
"""Elements of the largest intermediate tensor; the permutations are processed in chunks of this size."""

AttentionWeights = tuple[Tensor, Tensor]
"""``qkv`` weight (3 * width, in) and ``proj`` weight (out, width) of one attention layer."""


def compute_head_z(layers: Sequence[AttentionWeights], num_heads: int, alternatives: Sequence[int]) -> float:
    """Compute how strongly attention weights contradict a head count.

    If ``num_heads`` is the true count, permuting the channels within its heads, and the heads among themselves, changes
    no statistic of the weights systematically. For each alternative count, the similarity of the channels within that
    count's heads is compared with its distribution under such permutations.

    Args:
        layers: ``qkv`` weight (3 * width, in) and ``proj`` weight (out, width) of each attention layer.
        num_heads: the head count that is tested.
        alternatives: the other possible head counts; all divide the width.

    Returns:
        The z-score: the largest deviation from the mean of the permutations, in their standard deviations. It is 0 if
        no deviation exceeds 1.5 times the largest one among the permutations: few heads or channels allow only few
        different permutations, and then the test cannot decide.
    """
    if not alternatives:
        return 0.0
    width = layers[0][1].shape[1]
    layers = _subsample_layers(layers, width)
    # the largest group of consecutive channels that no count splits; all sums are first taken over such groups
    step = gcd(width, *(width // count for count in (num_heads, *alternatives)))
    # float64 (layers, 4, width) and float32 (layers, width, width)
    ranks = torch.stack([_norm_ranks(qkv, proj) for qkv, proj in layers])
    angles = torch.stack([_squared_cosines(qkv, proj) for qkv, proj in layers])
    # a fixed seed, so that a file is accepted or refused in the same way every time
    generator = torch.Generator().manual_seed(0)
    # the identity is the first "permutation", so that observed and permuted weights take the same path
    same = torch.arange(width).expand(1, len(layers), width)
    orders = torch.cat([same, _draw_permutations(len(layers), width, num_heads, generator)])
    chunk = max(1, MAX_CHUNK_ELEMENTS // (len(layers) * width * max(width // step, 1)))
    parts = [orders[start : start + chunk] for start in range(0, len(orders), chunk)]
    # (1 + permutations, 2 statistics, alternatives, layers); index 0 is the file as it is
    values = torch.cat([_within_head_similarity(ranks, angles, part, step, alternatives) for part in parts])
    seen, draws = values[0], values[1:]
    spread = draws.std(0)
    # z of one layer is (seen - mean) / spread. The sum over L independent layers has the standard deviation sqrt(L), so
    # dividing by sqrt(L) gives a z-score again. A spread of rounding errors only means that no permutation changed the
    # statistic; such a layer says nothing and counts as 0.
    scale = torch.where(spread > 1e-6 * (1e-6 + seen.abs()), 1 / spread, 0.0) / len(layers) ** 0.5
    observed = ((seen - draws.mean(0)) * scale).sum(-1).abs()
    # the largest z-score that any of the permutations reaches by chance, per statistic and alternative
    chance = ((draws - draws.mean(0)) * scale).sum(-1).abs().amax(0)
    return float(torch.where(observed > 1.5 * chance, observed, 0.0).max())


def _subsample_layers(layers: Sequence[AttentionWeights], width: int) -> Sequence[AttentionWeights]:
    """Return evenly spaced layers, first and last included, if there are more than the width's limit."""
    limit = next((count for size, count in MAX_LAYERS_BY_WIDTH.items() if width <= size), 4)
    if len(layers) <= limit:
        return layers
    return [layers[i * (len(layers) - 1) // (limit - 1)] for i in range(limit)]


def _norm_ranks(qkv: Tensor, proj: Tensor) -> Tensor:
    """Rank the channels by the norms of their q, k and v rows and proj columns.

    Ranks instead of norms keep single outliers from dominating the statistic.

    Returns:
        Centered ranks divided by the width, shape (4, width), float64.
    """
    width = proj.shape[1]
    norms = torch.stack([rows.norm(dim=1) for rows in (*qkv.view(3, width, -1), proj.T)])
    # argsort twice: the position of each channel in the sorted order is its rank
    ranks = norms.argsort(dim=1).argsort(dim=1).double()
    return (ranks - ranks.mean(dim=1, keepdim=True)) / width


def _squared_cosines(qkv: Tensor, proj: Tensor) -> Tensor:
    """Sum the squared cosines between the channels' q rows, k rows, v rows and proj columns.

    Returns:
        Shape (width, width); the diagonal is 0.
    """
    width = proj.shape[1]
    total = torch.zeros(width, width)
    for rows in (*qkv.view(3, width, -1), proj.T):
        unit = F.normalize(rows, dim=1)
        total += (unit @ unit.T) ** 2  # squared: similar directions count, their sign does not
    return total.fill_diagonal_(0)


def _draw_permutations(num_layers: int, width: int, num_heads: int, generator: torch.Generator) -> Tensor:
    """Draw permutations of the channels within heads and of the heads, independently for each layer.

    Returns:
        Channel indices, shape (permutations, layers, width).
    """
    size = width // num_heads
    # the argsort of uniform random numbers is a uniformly distributed permutation
    order = torch.rand(NUM_PERMUTATIONS, num_layers, num_heads, generator=generator).argsort(-1)
    inside = torch.rand(NUM_PERMUTATIONS, num_layers, num_heads, size, generator=generator).argsort(-1)
    # (permutations, layers, heads, 1) + (permutations, layers, heads, channels per head), flattened to the width
    return (order[..., None] * size + inside).flatten(2)


def _within_head_similarity(ranks: Tensor, angles: Tensor, orders: Tensor, step: int, counts: Sequence[int]) -> Tensor:
    """Compute the similarity of channels within the heads of each count, for permuted channels.

    The norm statistic is the sum over heads of the squared sum of a head's centered ranks: it is large if a head holds
    channels of similar norm. The angle statistic is the sum of the squared cosines over all pairs within a head.

    Args:
        ranks: output of ``_norm_ranks`` per layer, shape (layers, 4, width).
        angles: output of ``_squared_cosines`` per layer, shape (layers, width, width).
        orders: permutations, shape (permutations, layers, width); entry i is the channel at position i.
        step: number of consecutive positions that no count splits; divides the width.
        counts: the head counts.

    Returns:
        Shape (permutations, 2, counts, layers); the second axis is norms, angles.
    """
    drawings, layers, width = orders.shape
    groups = width // step
    group = (torch.arange(width) // step).expand_as(orders)
    # one-hot: 1 where a channel of a layer falls into a group of ``step`` positions under a permutation
    member = torch.zeros(layers, width, drawings, groups)
    member[torch.arange(layers)[:, None], orders, torch.arange(drawings)[:, None, None], group] = 1.0
    flat = member.view(layers, width, -1)
    sums = (ranks @ flat.double()).view(layers, 4, drawings, groups)
    # M^T A M sums the angles over each pair of groups, where M is the one-hot matrix of a permutation; the first
    # product is done for all permutations at once
    half = (angles @ flat).view(layers, width, drawings, groups)
    cells = member.permute(2, 0, 3, 1) @ half.permute(2, 0, 1, 3)
    by_norm, by_angle = [], []
    for count in counts:
        size = groups // count  # groups per head
        by_norm.append(sums.reshape(layers, 4, drawings, count, size).sum(-1).square().sum((1, 3)).T)
        # (permutations, layers, heads, heads): sums over pairs of heads; the diagonal has the pairs within one head
        blocks = cells.reshape(drawings, layers, count, size, count, size).sum((3, 5))
        by_angle.append(blocks.diagonal(dim1=-2, dim2=-1).sum(-1).double())
    return torch.stack([torch.stack(by_norm, 1), torch.stack(by_angle, 1)], 1)
