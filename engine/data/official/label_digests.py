"""Compare the labels of a data set with the official ones, of which the project ships digests only.

Counts say little about labels: a set can have all its images and a few wrong labels, or test images among the training
images. A file ``label_digests.json`` beside the readers holds a short digest of the name and one of the label of each
official item, so that a wrong one is named. ``tests/make_label_digests.py`` makes these files. Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from foundation.files import sha256_chunks

NAME_DIGITS = 8
"""Hexadecimal digits of a name's digest: few enough to ship, and no two names of a data set share one."""
MAX_NAMED_ITEMS = 3

OfficialItems = Mapping[str, Mapping[str, str]]
"""Digest of the label of each item, by the digest of its name, by split."""


@lru_cache
def read_label_digests(file: Path) -> Mapping[str, Any]:
    """Read a digest file of the project: the digests of each data set, by its name."""
    content: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def hash_text(text: str, num_digits: int) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a text.

    >>> hash_text("tench", 8)
    'e0d3b7bc'
    """
    # surrogateescape: a file name need not be valid UTF-8
    return sha256_chunks([text.encode("utf-8", "surrogateescape")])[:num_digits]


def pack_items(items: Iterable[tuple[str, str]], num_digits: int) -> str:
    """Write the digests of a split as one text, ordered by the names' digests.

    Args:
        items: name and label of each item.
        num_digits: hexadecimal digits of a label's digest.

    >>> pack_items([("a.jpg", "cat"), ("b.jpg", "dog")], 4)
    '509b0d46287d 7a11ab9424d0'
    """
    return " ".join(
        sorted(hash_text(name, NAME_DIGITS) + _hash_label(name, label, num_digits) for name, label in items)
    )


def unpack_items(splits: Mapping[str, str]) -> OfficialItems:
    """Read what ``pack_items`` wrote for each split."""
    return {
        split: {entry[:NAME_DIGITS]: entry[NAME_DIGITS:] for entry in text.split()} for split, text in splits.items()
    }


def _hash_label(name: str, label: str, num_digits: int) -> str:
    # with the name, since equal labels would otherwise have equal digests and could be read off
    return hash_text(f"{name} {label}", num_digits)


class LabelComparison(NamedTuple):
    """How labels compare with the official ones.

    Attributes:
        deviations: what differs, one sentence each.
        num_equal: number of items that are in their official split with their official label.
    """

    deviations: tuple[str, ...]
    num_equal: int


def compare_labels(found: Mapping[str, Iterable[tuple[str, str]]], official: OfficialItems) -> LabelComparison:
    """Compare items with the official ones by their names; items that are missing do not count.

    Args:
        found: name and label of each item, by split.
        official: the official splits. Items of a split that it lacks are only looked up in the others.
    """
    num_equal, deviations = 0, []
    for split, items in found.items():
        wrong: list[str] = []
        moved: dict[str, list[str]] = {}
        foreign: list[str] = []
        for name, label in items:
            key = hash_text(name, NAME_DIGITS)
            home = split if key in official.get(split, ()) else next((s for s in official if key in official[s]), None)
            if home is None:
                foreign += [name] if split in official else []
            elif home != split:
                moved.setdefault(home, []).append(name)
            elif _hash_label(name, label, len(official[home][key])) != official[home][key]:
                wrong.append(name)
            else:
                num_equal += 1
        if wrong:
            deviations.append(f"{split} has other labels than the official ones for {format_names(wrong)}")
        deviations += [f"{split} has items of the official {home}: {format_names(moved[home])}" for home in moved]
        if foreign:
            deviations.append(f"{split} has items that are not in the official {split}: {format_names(foreign)}")
    return LabelComparison(tuple(deviations), num_equal)


def compare_class_names(found: Sequence[str], official: Sequence[str]) -> tuple[str, ...]:
    """Compare the names of the classes and their order with the official ones.

    Args:
        found: name of each class, by class index.
        official: the digest of each official name, by class index.

    Returns:
        One sentence that names the first class that differs; nothing if none does.
    """
    if len(found) != len(official):
        return (f"the class list has {len(found)} names where the official one has {len(official)}",)
    pairs = zip(found, official, strict=True)
    wrong = [index for index, (name, digest) in enumerate(pairs) if hash_text(name, NAME_DIGITS) != digest]
    if not wrong:
        return ()
    index = wrong[0]
    return (
        f"the class list is not the official one: class {index} is {found[index]!r}, and {len(wrong)} of {len(found)} "
        "names differ or are in another order",
    )


def format_names(names: Sequence[str]) -> str:
    """Return the number of items and the names of the first ones."""
    more = f" and {len(names) - MAX_NAMED_ITEMS:,} more" if len(names) > MAX_NAMED_ITEMS else ""
    return ", ".join(names[:MAX_NAMED_ITEMS]) + more
