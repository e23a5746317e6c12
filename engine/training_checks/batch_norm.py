"""What batch norm averages over: it decides the number, so a plan adds it to the identity. Imports torch late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def describe_batch_norm(
    has_batch_norm: bool, batch_size: int, accumulate: int, processes: int, last_batch: int = 0
) -> dict[str, Any]:
    """Describe which images share the statistics of batch norm, for the identity of a run.

    Processes share them (``engine.processes.batch_norm``), so their number matters only where a piece would leave one
    of them without an image.

    Args:
        has_batch_norm: whether a trained part of the model computes statistics of its batches.
        batch_size: images of one optimizer step, over all processes.
        accumulate: largest number of pieces into which a batch is split.
        processes: number of processes.
        last_batch: images of the incomplete batch at the end of each epoch; 0 without one.

    Returns:
        Nothing if there is no batch norm, or if it sees the complete batch. Otherwise ``images_per_statistic``,
        ``pieces_per_step`` and ``synchronised`` (earlier versions did not always), and ``pieces_of_last_batch`` where
        one process would make another number of them.

    >>> describe_batch_norm(True, 64, accumulate=4, processes=2)
    {'images_per_statistic': 16, 'pieces_per_step': 4, 'synchronised': True}
    """
    if not has_batch_norm or accumulate == 1:
        return {}
    pieces = accumulate if processes == 1 else count_pieces(batch_size, accumulate, processes)
    seen = {"images_per_statistic": max(1, batch_size // pieces), "pieces_per_step": pieces, "synchronised": True}
    last = count_pieces(last_batch, accumulate, processes)
    if last != count_pieces(last_batch, accumulate, 1):
        seen["pieces_of_last_batch"] = last
    return seen


def count_pieces(batch_size: int, accumulate: int, processes: int) -> int:
    """Return the number of pieces of a batch: never more than leave each process an image in each of them.

    Args:
        batch_size: items of the batch, over all processes.
        accumulate: largest number of pieces.
        processes: number of processes.
    """
    return min(accumulate, batch_size // processes)


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
