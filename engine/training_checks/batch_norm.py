"""What batch norm averages over: it decides the number, so a plan adds it to the identity. Imports torch late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def describe_batch_norm(
    has_batch_norm: bool, batch_size: int, accumulate: int, processes: int, synchronised: bool
) -> dict[str, Any]:
    """Describe which images share the statistics of batch norm, for the identity of a run.

    Args:
        has_batch_norm: whether a trained part of the model computes statistics of its batches.
        batch_size: images of one optimizer step, over all processes.
        accumulate: pieces into which each process splits its part of the batch.
        processes: number of processes.
        synchronised: whether the statistics are computed over all processes together.

    Returns:
        Nothing if there is no batch norm, or if it sees the complete batch; the number of processes and pieces then
        cannot change the number. Otherwise ``images_per_statistic``, ``pieces_per_step`` and ``synchronised``.

    >>> describe_batch_norm(True, 64, accumulate=4, processes=2, synchronised=False)
    {'images_per_statistic': 8, 'pieces_per_step': 4, 'synchronised': False}
    """
    # one process has nothing to synchronise, so it counts as all processes together
    together = synchronised or processes == 1
    if not has_batch_norm or (accumulate == 1 and together):
        return {}
    return {
        "images_per_statistic": max(1, batch_size // accumulate // (1 if together else processes)),
        "pieces_per_step": accumulate,
        "synchronised": together,
    }


def count_norm_groups(num_items: int, norm_group: int) -> int:
    """Return the number of groups, each normalized by itself, that the items of a batch or a micro-batch form.

    Item i belongs to group ``i % groups``. The groups of a batch that is dealt out to processes (item i to process
    ``i % processes``) or split by ``engine.grad_accumulation`` are then the same, as long as each part has whole
    groups.

    Args:
        num_items: number of items.
        norm_group: largest number of items in a group.

    >>> [count_norm_groups(items, 32) for items in (4, 32, 100, 128)]
    [1, 1, 4, 4]
    """
    return -(-num_items // norm_group)


def uses_batch_norm(model: nn.Module) -> bool:
    """Return whether a model has a batch norm of any kind that computes statistics while training."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(module, _BatchNorm) for module in model.modules())


def synchronises_batch_norm(model: nn.Module) -> bool:
    """Return whether every batch norm of a model computes its statistics over all processes."""
    from torch.nn import SyncBatchNorm
    from torch.nn.modules.batchnorm import _BatchNorm

    return all(isinstance(module, SyncBatchNorm) for module in model.modules() if isinstance(module, _BatchNorm))
