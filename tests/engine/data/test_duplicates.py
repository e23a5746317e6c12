"""Items that are in two splits."""

from __future__ import annotations

from engine.data.duplicates import find_duplicates


def test_splits_without_common_content_have_none() -> None:
    assert find_duplicates({"train": [("a", "1"), ("b", "1")], "test": [("c", "2"), ("d", "2")]}) == ()


def test_pairs_are_named_and_counted() -> None:
    train = [(f"train/{number}", str(number)) for number in range(6)]
    test = [(f"test/{number}", str(number)) for number in range(1, 6)]
    (sentence,) = find_duplicates({"train": train, "test": test})
    assert sentence == (
        "5 items of test have the content of an item of train: test/1 = train/1, test/2 = train/2, test/3 = train/3 "
        "and 2 more"
    )


def test_every_two_splits_are_compared() -> None:
    splits = {"train": [("a", "1")], "val": [("b", "1")], "test": [("c", "1")]}
    assert len(find_duplicates(splits)) == 3
