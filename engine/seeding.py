"""Randomness that does not depend on worker count, kills or the order of work.

Every training item draws its augmentation from a seed of its own, made of (run seed, pass, item); the model's
random numbers (drop path) are reseeded at each epoch, or at each iteration where there are no epochs. So a
run that was killed and resumed goes on with the numbers it would have had.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sized
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from torch.utils.data import Dataset, Sampler

T_co = TypeVar("T_co", covariant=True)


class SeededIndex(NamedTuple):
    """One request to a dataset: which item, and the seed of its augmentation."""

    item: int
    seed: int


class MapDataset(Protocol[T_co]):
    """A map-style dataset with a length."""

    def __getitem__(self, index: int) -> T_co:
        """Item ``index``."""

    def __len__(self) -> int:
        """Number of items."""


def derive_seed(*parts: int) -> int:
    """A well-mixed 63-bit seed from whole numbers (numpy's ``SeedSequence``; stable over versions by its contract).

    >>> derive_seed(0, 1) == derive_seed(0, 1) != derive_seed(1, 0)
    True
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_all(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class GeneratorState(NamedTuple):
    """Where the generators of Python, numpy and torch (on the CPU) stand."""

    python: Any
    numpy: Any
    torch: torch.Tensor


def get_generator_state() -> GeneratorState:
    """Where the generators stand now."""
    return GeneratorState(random.getstate(), np.random.get_state(), torch.get_rng_state())


def set_generator_state(state: GeneratorState) -> None:
    """Put the generators where they were."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.torch)


class SeededSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` (shuffled, split over processes, ``set_epoch``) that yields ``SeededIndex``."""

    def __init__(self, dataset: Sized, shuffle: bool, seed: int, round_up: bool) -> None:
        super().__init__(dataset, shuffle=shuffle, seed=seed, round_up=round_up)

    def __iter__(self) -> Iterator[SeededIndex]:
        """The draws of this process in this epoch."""
        for index in super().__iter__():
            yield SeededIndex(int(index), derive_seed(self.seed, self.epoch, int(index)))


class InfiniteSeededSampler(Sampler[SeededIndex]):
    """Pass after pass over a dataset, each in an order of its own, for runs counted in iterations.

    The stream is a function of (seed, position): ``skip`` goes on in the middle without reading what came before.
    Of several processes each takes every n-th draw.
    """

    def __init__(self, dataset: Sized, seed: int) -> None:
        self.dataset_size = len(dataset)
        self.seed = seed
        self.rank, self.world_size = get_dist_info()
        self.num_skipped = 0

    def __iter__(self) -> Iterator[SeededIndex]:
        """The draws of this process, without end."""
        order, current = np.empty(0, np.int64), -1
        for place in itertools.count(self.rank + self.num_skipped * self.world_size, self.world_size):
            turn, position = divmod(place, self.dataset_size)
            if turn != current:
                current = turn
                order = np.random.Generator(np.random.PCG64(derive_seed(self.seed, turn))).permutation(
                    self.dataset_size
                )
            item = int(order[position])
            yield SeededIndex(item, derive_seed(self.seed, turn, item))

    def __len__(self) -> int:
        return self.dataset_size

    def skip(self, draws: int) -> None:
        """Begin after ``draws`` draws of this process (mmengine calls it on resume)."""
        self.num_skipped = draws


class SeededDataset(Dataset[Any]):
    """Serves ``SeededIndex`` requests from a plain dataset, with the random state of the draw's seed around it."""

    def __init__(self, dataset: MapDataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: SeededIndex) -> Any:
        # torch's generator also drives the model (drop path), so it is put back; Python's and numpy's serve items only
        state = torch.get_rng_state()
        seed_all_cpu(request.seed)
        try:
            return self.dataset[request.item]
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
            seed_all(derive_seed(self.seed, runner.epoch, runner.rank))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Reseed where the run is counted in iterations."""
        if not self.by_epoch:
            seed_all(derive_seed(self.seed, runner.iter, runner.rank))
