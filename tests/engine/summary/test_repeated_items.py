"""Items that are there twice are found within a split, between splits, and with two labels."""

from __future__ import annotations

from engine.summary.repeated_items import NamedContent, find_repeated_items


def test_twins_within_a_split_between_splits_and_with_two_labels() -> None:
    splits = {
        "train": [NamedContent("a", "1", "cat"), NamedContent("b", "2", "dog"), NamedContent("c", "1", "dog")],
        "test": [NamedContent("d", "2", "dog")],
    }
    assert find_repeated_items(splits, "image") == [
        "train: 1 image has the content of an earlier one: c = a",
        "1 item of test has the content of an item of train: d = b",
        "1 image of equal content with two labels: c is dog and a is cat",
    ]


def test_nothing_is_found_where_nothing_is_repeated() -> None:
    splits = {"train": [NamedContent("a", "1")], "test": [NamedContent("b", "2")]}
    assert find_repeated_items(splits, "image") == []
