from __future__ import annotations

import pytest
from torch.utils.data import DataLoader, Dataset

from foundation.errors import DataError


class Broken(Dataset[int]):
    """Every item fails as a bad file does."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        raise DataError(f"a/b.jpg: item {index} cannot be decoded; fetch it again")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loaders_worker_hands_on_the_sentence_alone(workers: int) -> None:
    with pytest.raises(DataError) as error:
        list(DataLoader(Broken(), num_workers=workers))
    assert str(error.value) == "a/b.jpg: item 0 cannot be decoded; fetch it again"
