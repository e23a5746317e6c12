"""The images an analysis looks at: a fixed draw of a split, in one order for every backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

from engine.progress_bar import ProgressBar
from engine.task import TaskImages
from foundation.errors import IncompleteError, UserError
from foundation.hash_order import order_by_hash

IMAGE_ORDER_SALT = "bench-analysis-1"
DEFAULT_NUM_IMAGES = 1024
"""As many as the papers' analyses take of ImageNet's validation images."""


class ImageBatch(NamedTuple):
    """Some images of a sample: their names, (n, 3, S, S) normalised, and classes (n,)."""

    names: tuple[str, ...]
    images: Tensor
    labels: Tensor


class ImageSubset:
    """Members of a split, numbered anew.

    Args:
        dataset: the split.
        indices: item numbers, in the order they are looked at.
    """

    def __init__(self, dataset: TaskImages, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def image_names(self) -> tuple[str, ...]:
        """What the images are called."""
        return tuple(self.dataset.get_image_name(member) for member in self.indices)

    def iter_batches(self, batch_size: int, progress_label: str = "") -> Iterator[ImageBatch]:
        """All images in order, in batches that are as equal as can be and have ``batch_size`` images at most.

        Args:
            batch_size: images a batch.
            progress_label: for a line of progress now and then; none where it is empty.

        Raises:
            IncompleteError: the task gave another image than the one asked for.
        """
        done = 0
        with ExitStack() as stack:
            progress = None
            if progress_label:
                progress = stack.enter_context(ProgressBar(progress_label, "images", len(self), with_rate=False))
            for count in split_evenly(len(self), batch_size):
                rows = [self._load_item(member) for member in self.indices[done : done + count]]
                names = tuple(self.dataset.get_image_name(member) for member in self.indices[done : done + count])
                done += count
                yield ImageBatch(
                    names, torch.stack([image for image, _ in rows]), torch.tensor([label for _, label in rows])
                )
                if progress is not None:
                    progress.advance(num_items=count)

    def _load_item(self, index: int) -> tuple[Tensor, int]:
        row = self.dataset[index]
        if int(row["item"]) != index:
            raise IncompleteError(f"image {index} was asked for and image {int(row['item'])} was given")
        return torch.as_tensor(row["images"]), int(row["labels"])


def sample_images(dataset: TaskImages, num_images: int | None, min_images: int = 1) -> ImageSubset:
    """The first ``num_images`` images of a split in a fixed shuffled order (sets are often sorted by class).

    The order goes by the SHA-256 of each number, so it depends on no library's random numbers, and of two draws the
    smaller is the beginning of the larger.

    Args:
        dataset: the split.
        num_images: how many; ``None`` for 1,024, or all where there are fewer.
        min_images: how many the analysis needs.

    Raises:
        UserError: more images than there are, or fewer than are needed.
    """
    total = len(dataset)
    wanted = min(DEFAULT_NUM_IMAGES, total) if num_images is None else num_images
    if wanted > total:
        raise UserError(f"--images {wanted} are more than the split has ({total}); ask for {total} or fewer")
    if wanted < min_images:
        raise UserError(
            f"this analysis needs {min_images} images or more, not {wanted}; raise --images or choose more data"
        )
    return ImageSubset(dataset, order_by_hash(range(total), IMAGE_ORDER_SALT)[:wanted])


def split_evenly(count: int, max_size: int) -> list[int]:
    """``count`` in as few parts as have ``max_size`` at most, which differ by one at most, the larger first.

    >>> split_evenly(300, 128), split_evenly(128, 128)
    ([100, 100, 100], [128])
    """
    parts = -(-count // max_size)
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
