"""Select the images of an analysis: a fixed random draw from a split, in the same order for every backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

from engine.data.task_images import TaskImages
from engine.progress_bar import ProgressBar
from foundation.errors import IncompleteError, UserError
from foundation.hash_order import order_by_hash

IMAGE_ORDER_SALT = "bench-analysis-1"
DEFAULT_NUM_IMAGES = 1024
"""The papers' analyses use this many of the ImageNet validation images."""


class ImageBatch(NamedTuple):
    """A batch of n images: their names, the normalized images (n, 3, S, S), and their class labels (n,)."""

    names: tuple[str, ...]
    images: Tensor
    labels: Tensor


class ImageSubset:
    """Selected images of a split, with indices that start at 0.

    Args:
        dataset: the split.
        indices: indices of the images in the split, in the order of the analysis.
    """

    def __init__(self, dataset: TaskImages, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def image_names(self) -> tuple[str, ...]:
        """Return the names of the images, in order."""
        return tuple(self.dataset.get_image_name(member) for member in self.indices)

    def iter_batches(self, batch_size: int, progress_label: str = "") -> Iterator[ImageBatch]:
        """Iterate over all images in order, in batches of nearly equal size with at most ``batch_size`` images.

        Args:
            batch_size: maximum images per batch.
            progress_label: label of the progress bar; an empty label means no progress bar.

        Raises:
            IncompleteError: the task returned a different image than the requested one.
        """
        done = 0
        with ExitStack() as stack:  # closes the progress bar also when the consumer stops early
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
        # a loader that skips unreadable images would shift all later ones without an error
        if int(row["item"]) != index:
            raise IncompleteError(
                f"image {index} was requested, but the data set returned image {int(row['item'])}; its index is wrong"
            )
        return torch.as_tensor(row["images"]), int(row["labels"])


def sample_images(dataset: TaskImages, num_images: int | None, min_images: int = 1) -> ImageSubset:
    """Select the first ``num_images`` images of a split in a fixed shuffled order.

    The order follows the SHA-256 of each index, so it does not depend on the random numbers of any library, and a
    smaller draw is always the beginning of a larger one.

    Args:
        dataset: the split.
        num_images: number of images; ``None`` for 1,024, or all if the split has fewer.
        min_images: minimum number of images that the analysis needs.

    Raises:
        UserError: the split has fewer images than requested, or fewer were requested than are needed.
    """
    total = len(dataset)
    wanted = min(DEFAULT_NUM_IMAGES, total) if num_images is None else num_images
    if wanted > total:
        raise UserError(f"--images {wanted} are more than the split has ({total}); request {total} or fewer")
    if wanted < min_images:
        raise UserError(
            f"this analysis needs {min_images} images or more, not {wanted}; raise --images or choose more data"
        )
    # shuffled, because many data sets are sorted by class and their first images would all be of one class
    return ImageSubset(dataset, order_by_hash(range(total), IMAGE_ORDER_SALT)[:wanted])


def split_evenly(count: int, max_size: int) -> list[int]:
    """Split ``count`` into as few parts of at most ``max_size`` as possible; sizes differ by at most 1, larger first.

    >>> split_evenly(300, 128), split_evenly(128, 128)
    ([100, 100, 100], [128])
    """
    # equal parts instead of a short last one: the unbiased CKA estimator needs at least 4 images in every batch
    parts = -(-count // max_size)  # rounds up
    return [count // parts + (place < count % parts) for place in range(parts)]


def require_same_images(first: Sequence[str], second: Sequence[str]) -> None:
    """Require that two lists contain the same images in the same order.

    Raises:
        IncompleteError: the lists differ; the message names the first difference.
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
