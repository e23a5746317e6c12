"""The images an analysis looks at: a fixed draw of a split, in one order for every backbone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from engine.progress import say
from engine.progress_bar import PLAIN_EVERY_SECONDS
from engine.task import TaskImages
from foundation.errors import IncompleteError, UserError

DEFAULT_IMAGES = 1024
"""As many as the papers' analyses take of ImageNet's validation images."""


class Batch(NamedTuple):
    """Some images of a sample: their names, (n, 3, S, S) normalised, and classes (n,)."""

    names: tuple[str, ...]
    images: Tensor
    labels: Tensor


class Sample:
    """Members of a split, numbered anew.

    Args:
        items: the split.
        members: item numbers, in the order they are looked at.
    """

    def __init__(self, items: TaskImages, members: Sequence[int]) -> None:
        self.items = items
        self.members = list(members)

    def __len__(self) -> int:
        return len(self.members)

    def names(self) -> tuple[str, ...]:
        """What the images are called."""
        return tuple(self.items.name(member) for member in self.members)

    def batches(self, size: int, label: str = "") -> Iterator[Batch]:
        """All images in order, in batches that are as equal as can be and have ``size`` images at most.

        Args:
            size: images a batch.
            label: for a line of progress now and then; none where it is empty.

        Raises:
            IncompleteError: the task gave another image than the one asked for.
        """
        done, began = 0, time.monotonic()
        spoke = began
        for count in even(len(self), size):
            rows = [self._row(member) for member in self.members[done : done + count]]
            names = tuple(self.items.name(member) for member in self.members[done : done + count])
            done += count
            yield Batch(names, torch.stack([image for image, _ in rows]), torch.tensor([label for _, label in rows]))
            if label and time.monotonic() - spoke > PLAIN_EVERY_SECONDS:
                spoke = time.monotonic()
                left = (spoke - began) / done * (len(self) - done)
                say(f"{label}: {done}/{len(self)} images, {left:.0f} s left")

    def _row(self, member: int) -> tuple[Tensor, int]:
        row = self.items[member]
        if int(row["item"]) != member:
            raise IncompleteError(f"image {member} was asked for and image {int(row['item'])} was given")
        return torch.as_tensor(row["images"]), int(row["labels"])


def draw(items: TaskImages, count: int | None, least: int = 1) -> Sample:
    """The first ``count`` images of a split in a fixed shuffled order (sets are often sorted by class).

    The order goes by the SHA-256 of each number, so it depends on no library's random numbers, and of two draws the
    smaller is the beginning of the larger.

    Args:
        items: the split.
        count: how many; ``None`` for 1,024, or all where there are fewer.
        least: how many the analysis needs.

    Raises:
        UserError: more images than there are, or fewer than are needed.
    """
    total = len(items)
    wanted = min(DEFAULT_IMAGES, total) if count is None else count
    if wanted > total:
        raise UserError(f"--images {wanted} are more than the split has ({total}); ask for {total} or fewer")
    if wanted < least:
        raise UserError(f"this analysis needs {least} images or more, not {wanted}; raise --images or choose more data")
    return Sample(items, sorted(range(total), key=_order)[:wanted])


def even(count: int, most: int) -> list[int]:
    """``count`` in as few parts as have ``most`` at most, which differ by one at most, the larger first.

    >>> even(300, 128), even(128, 128)
    ([100, 100, 100], [128])
    """
    parts = -(-count // most)
    return [count // parts + (place < count % parts) for place in range(parts)]


def require_same_images(first: Sequence[str], second: Sequence[str]) -> None:
    """Pass two lists of the same images in the same order.

    Raises:
        IncompleteError: naming the first place where they part.
    """
    if len(first) != len(second):
        raise IncompleteError(
            f"one backbone saw {len(first)} images and the other {len(second)}; compare them on the same images"
        )
    for place, (one, other) in enumerate(zip(first, second, strict=True)):
        if one != other:
            raise IncompleteError(
                f"image {place} is {one} for one backbone and {other} for the other; give both the same images in the "
                "same order"
            )


def _order(item: int) -> bytes:
    return hashlib.sha256(f"bench-analysis-1:{item}".encode()).digest()
