"""Names of splits in the spellings of people and tools."""

from __future__ import annotations

import pytest

from engine.data.split_folders import parse_split_name


@pytest.mark.parametrize(
    ("name", "split", "rest"),
    [
        ("train", "train", ""),
        ("Training", "train", ""),
        ("TEST", "test", ""),
        ("validation", "val", ""),
        ("Dev", "val", ""),
        ("eval", "val", ""),
        ("seg_train", "train", "seg"),
        ("train_images", "train", "images"),
        ("images-test", "test", "images"),
        ("TrainSet", "train", "set"),
        ("testset", "test", "set"),
        ("val2017", "val", ""),
        ("test1", "test", ""),
        ("train_station", "train", "station"),
    ],
)
def test_names_of_splits(name: str, split: str, rest: str) -> None:
    found = parse_split_name(name)
    assert found is not None and (found.split, found.rest) == (split, rest)


@pytest.mark.parametrize(
    "name", ["cat", "trains", "invalid", "contest", "train_val", "trainval", "latest", "", "2017", "訓練"]
)
def test_names_of_other_things(name: str) -> None:
    assert parse_split_name(name) is None
