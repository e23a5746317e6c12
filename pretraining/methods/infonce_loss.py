"""The contrastive loss of MoCo-v3 over all processes, and the momentum of its momentum encoder."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def cosine_momentum(base_momentum: float, progress: float) -> float:
    """Return the momentum, which rises from ``base_momentum`` to 1 like half a cosine.

    Args:
        base_momentum: momentum at the start of the training.
        progress: fraction of the training that is done, 0 to 1.

    >>> [round(cosine_momentum(0.99, progress), 6) for progress in (0.0, 0.5, 1.0)]
    [0.99, 0.995, 1.0]
    """
    return 1 - (1 - base_momentum) * 0.5 * (1 + math.cos(math.pi * progress))


def infonce_loss(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return 2 T times the cross entropy of each query over the keys of all processes.

    The correct key of query i is key i of the same process; similarities are cosines divided by T.

    Args:
        queries: (N, C), with gradient.
        keys: (N, C) of this process, without gradient.
        temperature: T.
    """
    queries = F.normalize(queries.float(), dim=1)
    keys, first = concat_all_gather(F.normalize(keys.float(), dim=1))
    right = torch.arange(len(queries), device=queries.device) + first
    # the factor 2 T as in algorithm 1 of arXiv 2104.02057
    return F.cross_entropy(queries @ keys.T / temperature, right) * 2 * temperature


@torch.no_grad()
def concat_all_gather(values: Tensor) -> tuple[Tensor, int]:
    """Concatenate the values of all processes in the order of their ranks, without gradient.

    Args:
        values: (N, C); N may differ between processes.

    Returns:
        The values of all processes, and the position of the first one of this process.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values, 0
    gathered = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, torch.full_like(gathered[0], len(values)))
    counts = [int(count) for count in gathered]
    # the parts that are exchanged must have one length
    padded = F.pad(values, (0, 0, 0, max(counts) - len(values))).contiguous()
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]), sum(counts[: dist.get_rank()])
