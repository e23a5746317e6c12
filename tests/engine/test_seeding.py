from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from engine.seeding import InfiniteSeededSampler, SeededDataset, SeededIndex, SeededSampler, derive_seed, seed_all


class Noise:
    """Items that are three random numbers, one of each generator."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([index, random.random(), np.random.rand(), torch.rand(1).item()], dtype=torch.float64)


def epoch(workers: int, number: int, seed: int = 0, batch: int = 3) -> dict[int, tuple[float, ...]]:
    sampler = SeededSampler(Noise(), shuffle=True, seed=seed, round_up=True)
    sampler.set_epoch(number)
    loader = DataLoader(SeededDataset(Noise()), batch_size=batch, sampler=sampler, num_workers=workers)
    return {int(row[0]): tuple(row.tolist()) for batch_ in loader for row in batch_}


def test_an_items_random_numbers_do_not_depend_on_workers_or_batches() -> None:
    assert epoch(0, 1) == epoch(2, 1) == epoch(0, 1, batch=10)


def test_they_do_depend_on_epoch_seed_and_item() -> None:
    first = epoch(0, 1)
    assert all(first[i][1:] != epoch(0, 2)[i][1:] for i in first)
    assert all(first[i][1:] != epoch(0, 1, seed=1)[i][1:] for i in first)
    assert len({values[1:] for values in first.values()}) == 10


def test_serving_an_item_leaves_the_models_generator_alone() -> None:
    seed_all(3)
    expected = torch.rand(2)
    seed_all(3)
    first = torch.rand(1)
    SeededDataset(Noise())[SeededIndex(1, 99)]
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_mix_is_stable_over_versions() -> None:
    """numpy promises SeedSequence's stream; a change here would change every number we ever recorded."""
    assert derive_seed(0, 1, 2) == 1535930435702422785
    assert derive_seed(0, 1) != derive_seed(1, 0)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_an_epoch_without_gap(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmengine.dataset.sampler as sampler_module

    seen = []
    for rank in range(processes):
        monkeypatch.setattr(sampler_module, "get_dist_info", lambda rank=rank: (rank, processes))
        seen += [draw.item for draw in SeededSampler(Noise(), shuffle=True, seed=0, round_up=False)]
    assert sorted(seen) == list(range(10))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_endless_run_sees_every_item_once_a_pass(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = []
    for rank in range(processes):
        monkeypatch.setattr("engine.seeding.get_dist_info", lambda rank=rank: (rank, processes))
        streams.append(list(itertools.islice(iter(InfiniteSeededSampler(Noise(), seed=3)), 30)))
    merged = [draw for group in zip(*streams, strict=True) for draw in group][:30]
    passes = [[draw.item for draw in merged[start : start + 10]] for start in (0, 10, 20)]
    assert [sorted(members) for members in passes] == [list(range(10))] * 3
    assert len(set(map(tuple, passes))) == 3, "each pass has an order of its own"
    assert len({draw.seed for draw in merged}) == 30, "and augmentations of its own"


def test_skipping_goes_on_in_the_same_stream() -> None:
    whole = list(itertools.islice(iter(InfiniteSeededSampler(Noise(), seed=3)), 40))
    later = InfiniteSeededSampler(Noise(), seed=3)
    later.skip(17)
    assert list(itertools.islice(iter(later), 23)) == whole[17:]
