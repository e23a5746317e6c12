"""Which cells of a matrix read the features of one pass of a frozen backbone, and which of them should run first."""

from __future__ import annotations

from collections.abc import Hashable

from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from benchmarks.matrix.cell_command import describe_cell
from benchmarks.resolve_cell import CellRequest
from benchmarks.task_registry import TASKS

FEATURE_PROTOCOLS = ("linear", "linear_sgd", "knn", "lowshot")
"""Protocols of classification that read cached features. First those that read complete splits, and of these the ones
that read all three: what they leave in the cache serves the others."""


def get_share_group(request: CellRequest) -> Hashable | None:
    """Return a key that is equal for the cells that share a feature pass; ``None`` for a cell that shares nothing.

    The key only decides in which order cells run. Whether features may be used is decided by the key of the cache,
    which covers everything that can change them.
    """
    assert isinstance(request.task, str) and isinstance(request.backbone, str), "a matrix holds names"
    if TASKS.get(request.task).domain != "classification" or request.protocol not in FEATURE_PROTOCOLS:
        return None
    is_random = request.checkpoint == RANDOM_INIT or (
        request.checkpoint is None and get_card(request.backbone).weights is None
    )
    # a random backbone is another one for each seed
    by_seed = request.seed if is_random or request.allow_partial else None
    return (request.task, request.backbone, *_get_start(request), request.device, by_seed)


def _get_start(request: CellRequest) -> tuple[Hashable, ...]:
    return (request.checkpoint, request.weights_key, request.mean, request.std)


def get_order_in_group(request: CellRequest) -> tuple[float, int, str]:
    """Return a sort key: first the cell of a group that leaves the most in the cache."""
    assert request.protocol is not None, "cells of a suite name their protocol"
    place = FEATURE_PROTOCOLS.index(request.protocol) if request.protocol in FEATURE_PROTOCOLS else 0
    return (-request.data_scale, place, describe_cell(request))
