"""The summary of a data set that ``bench check data`` prints and draws.

A check finds what no data set may have. A folder whose classes are its splits, masks without an object and boxes beside
the target pass every check, and are seen at once in what is collected here. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from engine.summary.image_headers import ImageFacts
from foundation.plural import format_count

NUM_SAMPLES = 12
"""Samples on a contact sheet."""


@dataclass(frozen=True)
class SplitSummary:
    """What one split holds.

    Attributes:
        num_items: number of items.
        images: what the headers of its images say; ``None`` if none could be opened.
        labels: how much each class has, by class name, in ``DataSummary.label_unit``; empty without classes.
        facts: further facts by the words that they stand under, such as ``masks``.
    """

    num_items: int
    images: ImageFacts | None
    labels: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


class SamplePicture(NamedTuple):
    """One sample on a contact sheet: its picture, RGB of any size, and the lines of its caption."""

    image: Image.Image
    caption: tuple[str, ...]


class SampleSheet(NamedTuple):
    """The samples of a contact sheet.

    Attributes:
        pictures: the samples in the order of their display.
        legend: colors and what they mean; empty if no color means anything.
        num_columns: pictures in a row.
        is_outline: whether the colors are those of frames, and not of areas.
    """

    pictures: Sequence[SamplePicture]
    legend: Sequence[tuple[tuple[int, int, int], str]] = ()
    num_columns: int = 4
    is_outline: bool = False


@dataclass(frozen=True)
class DataSummary:
    """What ``bench check data`` shows of a data set.

    Attributes:
        item_noun: what an item is, in the singular.
        label_unit: what ``SplitSummary.labels`` counts.
        splits: what each split holds, by its name.
        findings: what a person should look at, one sentence each; nothing of it forbids a run.
        samples: names of the items on the contact sheet, in its order.
        draw_samples: draws them.
    """

    item_noun: str
    label_unit: str
    splits: Mapping[str, SplitSummary]
    findings: tuple[str, ...]
    samples: tuple[str, ...]
    draw_samples: Callable[[], SampleSheet]

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as plain data, without the pictures."""
        return {
            "item": self.item_noun,
            "label_unit": self.label_unit,
            "splits": {name: asdict(split) for name, split in self.splits.items()},
            "findings": list(self.findings),
            "samples": list(self.samples),
        }


def share_samples(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many samples of each split are drawn: equally many, and what a small one lacks of the others.

    Args:
        counts: number of items of each split.

    >>> share_samples({"train": 100, "val": 2, "test": 100})
    {'train': 5, 'val': 2, 'test': 5}
    """
    shares, left = dict.fromkeys(counts, 0), NUM_SAMPLES
    # the smallest first, so that its share is known when the others are cut
    for done, name in enumerate(sorted(counts, key=counts.__getitem__)):
        shares[name] = min(counts[name], left // (len(counts) - done))
        left -= shares[name]
    return shares


def describe_misnamed(splits: Mapping[str, SplitSummary]) -> list[str]:
    """Return a sentence for each split with files whose suffix says another format."""
    return [
        f"{name}: {format_count(split.images.num_misnamed, 'file')} with a suffix of another format, such as "
        f"{split.images.misnamed[0]}; they are opened by their content"
        for name, split in splits.items()
        if split.images is not None and split.images.num_misnamed
    ]


def format_quantiles(values: Sequence[float], unit: str, digits: int = 0) -> str:
    """Return smallest, median and largest of some numbers, in words.

    >>> format_quantiles([3, 1, 2], "frames")
    '1 to 3 frames, median 2'
    >>> format_quantiles([2.0], "%", 1)
    '2.0 %'
    """
    low, middle, high = (f"{value:,.{digits}f}" for value in np.quantile(values, (0, 0.5, 1)))
    return f"{low} to {high} {unit}, median {middle}" if low != high else f"{low} {unit}"
