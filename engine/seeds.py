"""Randomness that does not depend on worker count, kills or the order of work.

Every training item draws its augmentation from a seed of its own, made of (run seed, pass, item); the model's
random numbers (drop path) are reseeded at each epoch, or at each iteration where there are no epochs. So a
run that was killed and resumed goes on with the numbers it would have had.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from torch.utils.data import Dataset

T_co = TypeVar("T_co", covariant=True)


class Draw(NamedTuple):
    """One request to a dataset: which item, and the seed of its augmentation."""

    item: int
    seed: int


class Items(Protocol[T_co]):
    """A map-style dataset with a length."""

    def __getitem__(self, index: int) -> T_co:
        """Item ``index``."""

    def __len__(self) -> int:
        """Number of items."""


def mix(*parts: int) -> int:
    """A well-mixed 63-bit seed from whole numbers (numpy's ``SeedSequence``; stable over versions by its contract).

    >>> mix(0, 1) == mix(0, 1) != mix(1, 0)
    True
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_all(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class SeededSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` (shuffled, split over processes, ``set_epoch``) that yields ``Draw`` values."""

    def __init__(self, dataset: Sized, shuffle: bool, seed: int, round_up: bool) -> None:
        super().__init__(dataset, shuffle=shuffle, seed=seed, round_up=round_up)

    def __iter__(self) -> Iterator[Draw]:
        """The draws of this process in this epoch."""
        for index in super().__iter__():
            yield Draw(int(index), mix(self.seed, self.epoch, int(index)))


class SeededItems(Dataset[Any]):
    """Serves ``Draw`` requests from a plain dataset, with the random state of the draw's seed around it."""

    def __init__(self, items: Items[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, draw: Draw) -> Any:
        # torch's generator also drives the model (drop path), so it is put back; Python's and numpy's serve items only
        state = torch.get_rng_state()
        seed_all_cpu(draw.seed)
        try:
            return self.items[draw.item]
        finally:
            torch.set_rng_state(state)


def seed_all_cpu(seed: int) -> None:
    """Seed Python, numpy and torch's CPU generator only (no device is touched: loader workers fork)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


class ReseedHook(Hook):
    """Reseeds the model's random numbers from (run seed, epoch) or (run seed, iteration), and rank."""

    priority = "VERY_HIGH"

    def __init__(self, seed: int, by_epoch: bool) -> None:
        self.seed = seed
        self.by_epoch = by_epoch

    def before_train_epoch(self, runner: Any) -> None:
        """Reseed where the run is counted in epochs."""
        if self.by_epoch:
            seed_all(mix(self.seed, runner.epoch, runner.rank))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Reseed where the run is counted in iterations."""
        if not self.by_epoch:
            seed_all(mix(self.seed, runner.iter, runner.rank))
