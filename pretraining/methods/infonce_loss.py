"""The contrastive loss of MoCo-v3 over all processes, and the momentum of its momentum encoder."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from engine.device import get_dist_info


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
    queries, keys = F.normalize(queries.float(), dim=1), concat_all_gather(F.normalize(keys.float(), dim=1))
    # after gathering, the keys of this process start at rank * N
    first = get_dist_info()[0] * len(queries) if len(keys) > len(queries) else 0
    right = torch.arange(len(queries), device=queries.device) + first
    # the factor 2 T as in algorithm 1 of arXiv 2104.02057
    return F.cross_entropy(queries @ keys.T / temperature, right) * 2 * temperature


@torch.no_grad()
def concat_all_gather(values: Tensor) -> Tensor:
    """Concatenate the values of all processes in the order of their ranks, without gradient.

    Args:
        values: (N, C), with the same N in all processes.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)
