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
    sampler = SeededSampler(Noise(), seed, 10, False)
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


@pytest.mark.parametrize(("processes", "batch"), [(2, 4), (2, 6), (3, 3), (3, 6), (3, 9), (6, 6)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_processes_share_the_batches_of_one(
    processes: int, batch: int, drop_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten items: the last batch has one to four, of which each process has one at least."""
    import mmengine.dataset.sampler as sampler_module

    order = list(SeededSampler(Noise(), 5, batch, drop_last))
    whole = [order[start : start + batch] for start in range(0, len(order), batch)]
    assert len(order) == (10 - 10 % batch if drop_last else 10)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(sampler_module, "get_dist_info", lambda rank=rank: (rank, processes))
        sampler = SeededSampler(Noise(), 5, batch, drop_last)
        own = list(sampler)
        assert len(own) == len(sampler)
        size = batch // processes
        shares.append([own[start : start + size] for start in range(0, len(own), size)])
        assert [sampler.count_batch_items(number) for number in range(len(whole))] == [
            max(len(part), processes) for part in whole
        ]
    for number, expected in enumerate(whole):
        found = [draw for share in shares for draw in share[number]]
        repeated = order[: max(0, processes - len(expected))]  # only so that each process has one
        assert sorted(found) == sorted(expected + repeated)
    assert {len(share) for share in shares} == {len(whole)}, "all make the same number of steps"


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
