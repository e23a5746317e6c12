"""Random numbers that do not depend on the number of workers, on interruptions or on the order of work.

Every training item draws its augmentation from its own seed, derived from (run seed, epoch, item). The model's random
numbers (drop path) are reseeded at each epoch, or at each iteration if the run is counted in iterations. A run that
was killed and resumed therefore continues with the numbers of an uninterrupted run.
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
    """One request to a dataset: the index of the item, and the seed of its augmentation."""

    item: int
    seed: int


class MapDataset(Protocol[T_co]):
    """A map-style dataset with a length."""

    def __getitem__(self, index: int) -> T_co:
        """Return item ``index``."""

    def __len__(self) -> int:
        """Return the number of items."""


def derive_seed(*parts: int) -> int:
    """Derive a well-mixed 63-bit seed from integers (numpy's ``SeedSequence``, which is stable across versions).

    >>> derive_seed(0, 1) == derive_seed(0, 1) != derive_seed(1, 0)
    True
    """
    # The shift drops one bit: torch's generators and int64 tensors take the result as a non-negative number.
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_all(seed: int) -> None:
    """Seed the generators of Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # numpy accepts 32 bits only, and a derived seed has 63
    torch.manual_seed(seed)


class GeneratorState(NamedTuple):
    """States of the generators of Python, numpy and torch (on the CPU)."""

    python: Any
    numpy: Any
    torch: torch.Tensor


def get_generator_state() -> GeneratorState:
    """Return the current states of the generators."""
    return GeneratorState(random.getstate(), np.random.get_state(), torch.get_rng_state())


def set_generator_state(state: GeneratorState) -> None:
    """Set the generators back to earlier states."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.torch)


class SeededSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` (shuffled, ``set_epoch``) that yields ``SeededIndex`` and shares out whole batches.

    With n processes each takes every n-th item of each batch, so that together they have the batches of one process.
    The incomplete batch at the end of an epoch may give some an item less; only if it has fewer items than there are
    processes, its first items are repeated (``engine.lr_schedule.count_repeated_items``).

    Args:
        dataset: gives the number of items.
        seed: the run's seed.
        batch_size: items of a batch over all processes, a multiple of their number.
        drop_last: leave out the incomplete batch at the end.
    """

    def __init__(self, dataset: Sized, seed: int, batch_size: int, drop_last: bool) -> None:
        super().__init__(dataset, shuffle=True, seed=seed, round_up=False)
        self.batch_size = batch_size
        count = len(dataset)
        last = count % batch_size
        # all processes together; each must make the same number of steps, or the others would wait for it forever
        self.total_size = count - last if drop_last else count + max(0, self.world_size - last if last else 0)

    def __iter__(self) -> Iterator[SeededIndex]:
        """Yield the items of this process in this epoch."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.dataset), generator=generator).tolist()
        for position in range(self.rank, self.total_size, self.world_size):
            # beyond the end its beginning is repeated
            item = order[position % len(order)]
            yield SeededIndex(item, derive_seed(self.seed, self.epoch, item))

    def __len__(self) -> int:
        return len(range(self.rank, self.total_size, self.world_size))

    def count_batch_items(self, batch: int) -> int:
        """Return the number of items of a batch of the epoch, over all processes.

        Args:
            batch: its number in the epoch, from 0.
        """
        return min(self.batch_size, self.total_size - batch * self.batch_size)


class InfiniteSeededSampler(Sampler[SeededIndex]):
    """Repeat a dataset without end, shuffled again in each pass, for runs counted in iterations.

    The stream is a function of (seed, position), so ``skip`` continues in the middle without reading the items before.
    With n processes each one takes every n-th item.

    Args:
        dataset: gives the number of items.
        seed: the run's seed.
    """

    def __init__(self, dataset: Sized, seed: int) -> None:
        self.dataset_size = len(dataset)
        self.seed = seed
        self.rank, self.world_size = get_dist_info()
        self.num_skipped = 0

    def __iter__(self) -> Iterator[SeededIndex]:
        """Yield the items of this process, without end."""
        order, current = np.empty(0, np.int64), -1
        # ``draw`` counts the items of all processes: this one takes rank, rank + world_size, ...
        for draw in itertools.count(self.rank + self.num_skipped * self.world_size, self.world_size):
            turn, position = divmod(draw, self.dataset_size)
            if turn != current:  # a new pass over the dataset begins
                current = turn
                # PCG64 by name: numpy may change what ``default_rng`` returns
                order = np.random.Generator(np.random.PCG64(derive_seed(self.seed, turn))).permutation(
                    self.dataset_size
                )
            item = int(order[position])
            yield SeededIndex(item, derive_seed(self.seed, turn, item))

    def __len__(self) -> int:
        return self.dataset_size

    def skip(self, draws: int) -> None:
        """Start after the first ``draws`` items of this process (mmengine calls this on resume)."""
        self.num_skipped = draws


class SeededDataset(Dataset[Any]):
    """Serves ``SeededIndex`` requests from a plain dataset, with the generators seeded by the request."""

    def __init__(self, dataset: MapDataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: SeededIndex) -> Any:
        # Without loader workers this runs in the training process, where torch's generator also drives the model (drop
        # path), so its state is restored. Python's and numpy's generators are used by items only.
        state = torch.get_rng_state()
        seed_all_cpu(request.seed)
        try:
            return self.dataset[request.item]
        finally:
            torch.set_rng_state(state)


def seed_all_cpu(seed: int) -> None:
    """Seed Python, numpy and torch's CPU generator, but no GPU: CUDA must not be used in forked loader workers."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # numpy accepts 32 bits only
    torch.default_generator.manual_seed(seed)


class ReseedHook(Hook):
    """Reseeds the model's random numbers from (run seed, epoch) or (run seed, iteration).

    All processes have the same seed: ``engine.processes.random_draws`` gives each its part of what one would draw.
    """

    priority = "VERY_HIGH"  # before other hooks, which may draw random numbers

    def __init__(self, seed: int, by_epoch: bool) -> None:
        self.seed = seed
        self.by_epoch = by_epoch

    def before_train_epoch(self, runner: Any) -> None:
        """Reseed if the run is counted in epochs."""
        if self.by_epoch:
            # the 0 was the number of the process
            seed_all(derive_seed(self.seed, runner.epoch, 0))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Reseed if the run is counted in iterations."""
        if not self.by_epoch:
            seed_all(derive_seed(self.seed, runner.iter, 0))
