"""Compute the probabilities of many images with a finished classifier, batch by batch, with a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from classification.as_is.match_classes import ClassColumns
from classification.as_is.network import Network, average_flipped
from classification.data.subset_sampling import LabeledDataset
from classification.model import compute_probabilities
from engine.device import translate_oom_error
from engine.processes.lost_batches import report_lost_batches
from engine.progress_bar import ProgressBar


class ProbabilityBatch(NamedTuple):
    """What a network says of a batch of images.

    Attributes:
        probabilities: probability of each class, (batch, classes).
        labels: true classes, (batch,).
        items: indices of the images, (batch,).
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    items: NDArray[np.int64]


def compute_batches(
    network: Network,
    dataset: LabeledDataset,
    *,
    device: str,
    batch_size: int,
    workers: int,
    label: str,
    columns: ClassColumns | None = None,
    flips: bool = False,
) -> Iterator[ProbabilityBatch]:
    """Yield the probabilities of all images in their order.

    Args:
        network: maps images to logits.
        dataset: the images; an item is a dict of ``images``, ``labels`` and ``item``.
        device: where the images are put, ``cpu``, ``cuda`` or ``mps``.
        batch_size: images in one pass.
        workers: number of loader processes.
        label: text of the progress bar.
        columns: the outputs among which a class is chosen; ``None`` for all.
        flips: average the logits with those of the mirror images.

    Raises:
        DataError: an image cannot be decoded.
        NonFiniteError: an output is not finite.
        UserError: out of memory.
    """
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style dataset by its methods
        batch_size=batch_size,
        num_workers=workers,
        worker_init_fn=report_lost_batches,
        pin_memory=device == "cuda",  # copies to other devices gain nothing by it
    )
    # indexing with all columns would copy the logits for nothing
    chosen = None if columns is None or columns.is_whole_head else torch.tensor(columns.columns)
    with translate_oom_error(), ProgressBar(label, "images", len(dataset)) as bar:
        for batch in loader:
            images = batch["images"].to(device)
            # on the CPU, where numpy counts; the logits of one batch are small
            logits = (average_flipped(network, images) if flips else network(images)).cpu()
            if chosen is not None:
                logits = logits[:, chosen]
            found = compute_probabilities(logits, batch["item"])
            yield ProbabilityBatch(found, batch["labels"].numpy(), batch["item"].numpy())
            bar.advance(num_items=len(images))
