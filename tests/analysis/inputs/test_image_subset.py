"""The images an analysis looks at."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from analysis.inputs.image_subset import ImageSubset, sample_images, split_evenly
from foundation.errors import IncompleteError, UserError


class Items:
    """Images that are their own number; ``wrong`` gives another than asked for."""

    def __init__(self, count: int, wrong: int | None = None) -> None:
        self.labels = [number % 3 for number in range(count)]
        self.wrong = wrong

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = index + 1 if index == self.wrong else index
        return {"images": torch.full((3, 2, 2), float(item)), "labels": self.labels[index], "item": item}

    def get_image_name(self, index: int) -> str:
        return f"n{index}"

    def get_preprocessing(self) -> dict[str, Any]:
        return {}


def test_a_draw_is_shuffled_nested_and_the_same_for_all() -> None:
    members = sample_images(Items(100), 20).indices
    assert members == sample_images(Items(100), 40).indices[:20] == sample_images(Items(100), None).indices[:20]
    assert members != sorted(members)
    assert sorted(sample_images(Items(100), None).indices) == list(range(100))
    assert len(sample_images(Items(2000), None)) == 1024


def test_batches_are_even_and_in_order() -> None:
    assert split_evenly(1024, 128) == [128] * 8
    assert split_evenly(130, 128) == [65, 65], "never a last batch of two"
    sample = sample_images(Items(10), 7)
    batches = list(sample.iter_batches(3))
    assert [len(batch.names) for batch in batches] == [3, 2, 2]
    assert [name for batch in batches for name in batch.names] == list(sample.image_names())
    assert [int(image[0, 0, 0]) for batch in batches for image in batch.images] == sample.indices
    assert [int(label) for batch in batches for label in batch.labels] == [number % 3 for number in sample.indices]


def test_another_image_than_asked_for_is_caught() -> None:
    with pytest.raises(IncompleteError, match="image 4 was requested, but the data set returned image 5"):
        list(ImageSubset(Items(9, wrong=4), range(9)).iter_batches(3))


def test_too_many_and_too_few() -> None:
    with pytest.raises(UserError, match="--images 11 are more than the split has \\(10\\)"):
        sample_images(Items(10), 11)
    with pytest.raises(UserError, match="needs 4 images or more, not 3"):
        sample_images(Items(10), 3, min_images=4)
