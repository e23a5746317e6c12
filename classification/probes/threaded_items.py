"""Read the items of a batch in several threads: Pillow and NumPy work outside of Python's global lock."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from classification.data.subset_sampling import LabeledDataset


class ThreadedItems:
    """A data set for a ``DataLoader`` without processes. Its items come in order, each read by one thread.

    Args:
        dataset: the data set; reading an item must not change it.
        num_threads: number of threads.
    """

    def __init__(self, dataset: LabeledDataset, num_threads: int) -> None:
        self._dataset = dataset
        self._pool = ThreadPoolExecutor(num_threads) if num_threads > 1 else None

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return some items; ``DataLoader`` calls this with the indices of a batch.

        Raises:
            DataError: an image cannot be decoded; of several, the one that comes first.
        """
        if self._pool is None:
            return [self._dataset[index] for index in indices]
        return list(self._pool.map(self._dataset.__getitem__, indices))
