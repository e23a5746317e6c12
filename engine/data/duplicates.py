"""Find items that are in two splits: a test that contains training images measures memory, not the backbone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

MAX_NAMED_PAIRS = 3
MAX_OFFICIAL_SHARE = 0.05
"""Share of a split up to which repeated images are taken for a property of an official set: about one in a hundred
test images of CIFAR-100 is in train. A split that was linked or copied to another one repeats nearly all."""


class SharedContent(NamedTuple):
    """The items of a split whose content is also in an earlier one.

    Attributes:
        split: name of the split.
        other: name of the earlier split.
        pairs: name of each such item, and name of its twin in the earlier split.
        num_items: number of items of the split.
    """

    split: str
    other: str
    pairs: list[tuple[str, str]]
    num_items: int

    def describe(self) -> str:
        """Return the fact as a sentence that names the first pairs."""
        shown = ", ".join(f"{name} = {twin}" for name, twin in self.pairs[:MAX_NAMED_PAIRS])
        count = len(self.pairs)
        more = f" and {count - MAX_NAMED_PAIRS:,} more" if count > MAX_NAMED_PAIRS else ""
        items = f"{count:,} items of {self.split} have" if count > 1 else f"1 item of {self.split} has"
        return f"{items} the content of an item of {self.other}: {shown}{more}"


def find_shared_content(splits: Mapping[str, Iterable[tuple[str, str]]]) -> list[SharedContent]:
    """Return what each two splits have in common, if anything.

    Args:
        splits: name and content digest of each item, by split.
    """
    seen: dict[str, dict[str, str]] = {}  # of each split so far: the first name with each digest
    found = []
    for split, items in splits.items():
        own: dict[str, str] = {}
        shared: dict[str, list[tuple[str, str]]] = {}
        num_items = 0
        for name, digest in items:
            num_items += 1
            own.setdefault(digest, name)
            for other, names in seen.items():
                if digest in names:
                    shared.setdefault(other, []).append((name, names[digest]))
        seen[split] = own
        found += [SharedContent(split, other, pairs, num_items) for other, pairs in shared.items()]
    return found


def find_duplicates(splits: Mapping[str, Iterable[tuple[str, str]]]) -> tuple[str, ...]:
    """Return one sentence for each two splits that share content; empty if none do.

    Args:
        splits: name and content digest of each item, by split.

    >>> find_duplicates({"train": [("a.png", "1f"), ("b.png", "2e")], "test": [("c.png", "2e")]})
    ('1 item of test has the content of an item of train: c.png = b.png',)
    """
    return tuple(each.describe() for each in find_shared_content(splits))


def judge_duplicates(
    splits: Mapping[str, Iterable[tuple[str, str]]], is_official: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tell duplicates that make a test worthless from those that an official data set simply has.

    Args:
        splits: name and content digest of each item, by split.
        is_official: whether the data set has official splits; a few repeated images in these are facts to note.

    Returns:
        Sentences on duplicates that must not pass unnoticed, and notes.
    """
    found = find_shared_content(splits)
    few = [each for each in found if is_official and len(each.pairs) <= MAX_OFFICIAL_SHARE * each.num_items]
    return tuple(each.describe() for each in found if each not in few), tuple(each.describe() for each in few)
