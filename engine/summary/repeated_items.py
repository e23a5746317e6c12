"""Find items that are in a data set more than once, within a split too, and with two labels. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.data.duplicates import find_shared_content
from foundation.plural import format_count


class NamedContent(NamedTuple):
    """An item: its name, the digest of its content, and its label, "" without one."""

    name: str
    digest: str
    label: str = ""


NOT_COMPARED = "not looked for, as a set of this size is hashed in part; --hash-all hashes every file"
"""Says of a split why repeated items were not looked for."""


def find_repeated_items(splits: Mapping[str, Sequence[NamedContent]], noun: str) -> list[str]:
    """Return which items have the content of another one, in sentences.

    Args:
        splits: the items by split.
        noun: what an item is, in the singular.
    """
    findings = []
    first_of: dict[str, NamedContent] = {}
    contradictions: list[tuple[NamedContent, NamedContent]] = []
    for split, items in splits.items():
        own: dict[str, NamedContent] = {}
        twins = []
        for item in items:
            if own.setdefault(item.digest, item) is not item:
                twins.append((item, own[item.digest]))
            # a label that differs is a fault in whichever splits the two are
            other = first_of.setdefault(item.digest, item)
            if other.label != item.label:
                contradictions.append((item, other))
        if twins:
            item, other = twins[0]
            have = f"{format_count(len(twins), noun)} {'have' if len(twins) > 1 else 'has'}"
            findings.append(f"{split}: {have} the content of an earlier one: {item.name} = {other.name}")
    contents = {split: [(item.name, item.digest) for item in items] for split, items in splits.items()}
    findings += [each.describe() for each in find_shared_content(contents)]
    if contradictions:
        item, other = contradictions[0]
        findings.append(
            f"{format_count(len(contradictions), noun)} of equal content with two labels: {item.name} is {item.label} "
            f"and {other.name} is {other.label}"
        )
    return findings
