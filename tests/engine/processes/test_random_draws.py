"""Processes draw for the whole batch and take their rows: drop path, dropout, and the partners of mixup."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from engine.grad_accumulation import BatchShare, list_piece_rows
from engine.processes.random_draws import BatchRows, draw_for_rows, share_random_draws

LAYERS: dict[str, Any] = {
    "drop path": lambda: DropPath(0.6),
    "dropout": lambda: nn.Dropout(0.4),
    "dropout of channels": lambda: nn.Dropout2d(0.4),
}


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_rows_of_processes_are_those_of_one(name: str, windows: int) -> None:
    """Five items (as three and two), whole or in windows that are rows of their own."""
    torch.manual_seed(0)
    whole = torch.rand(5 * windows, 4, 3, 2) + 1
    torch.manual_seed(5)
    expected = LAYERS[name]()(whole).view(5, windows, 4, 3, 2)
    assert (expected == 0).any() and (expected != 0).any()
    for rank in (0, 1):
        layer = nn.Sequential(LAYERS[name]())
        share_random_draws(layer)
        own = whole.view(5, windows, 4, 3, 2)[rank::2].flatten(0, 1)
        torch.manual_seed(5)
        with draw_for_rows(BatchRows(5, rank, 2, len(own) // windows)):
            found = layer(own)
        assert torch.equal(found.view(-1, windows, 4, 3, 2), expected[rank::2])
        assert torch.equal(layer.eval()(own), own)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(("total", "pieces"), [(7, 1), (7, 2), (12, 3), (11, 3)])
def test_rows_of_pieces_are_counted_within_them(processes: int, total: int, pieces: int) -> None:
    rows = [list_piece_rows(pieces, BatchShare(total, rank, processes)) for rank in range(processes)]
    start = 0
    for number in range(pieces):
        size = rows[0][number].total
        positions = []
        for rank in range(processes):
            part = rows[rank][number]
            own = list(range(part.first, part.total, part.step))
            assert len(own) == part.own and all((start + position) % processes == rank for position in own)
            positions += own
        assert sorted(positions) == list(range(size))
        start += size
    assert start == total
