"""Failures of a training as sentences."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from engine.failures import in_a_sentence
from foundation.errors import DataError, UserError


class Damaged(Dataset[int]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        raise DataError(f"item {index} is damaged: fetch it anew")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_item_that_a_loader_refuses_is_the_same_sentence_with_and_without_workers(workers: int) -> None:
    with pytest.raises(DataError) as caught, in_a_sentence():
        list(DataLoader(Damaged(), num_workers=workers))
    assert str(caught.value) == "item 0 is damaged: fetch it anew"


def test_memory_that_ran_out() -> None:
    with pytest.raises(UserError, match="out of memory: take each batch in more pieces"), in_a_sentence():
        torch.empty(10**14)


def test_other_failures_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), in_a_sentence():
        torch.ones(2, 3) @ torch.ones(2, 3)
