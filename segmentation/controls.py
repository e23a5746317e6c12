"""Destroy the signal of labeled scenes, and answer without looking at them: the negative controls of segmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.data.control_task import draw_noise, shuffle_items
from engine.task import ControlKind, MetricSpec, TaskOutcome
from foundation.files import atomic_writer, sha256_file
from results.records.record import MetricValue, ModelSelection
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import ImageArray, read_bgr_image, read_image_pair, read_label_map
from segmentation.data.labels import IGNORE_INDEX, LabelSpace
from segmentation.metrics import ImageScores, compute_segmentation_scores, count_class_areas, score_image
from segmentation.run import AREAS_FILE

GRID_SIZE = 64
"""The mean mask is counted on a grid of 64 x 64 positions, since images differ in size."""

MAX_TRAIN_MAPS = 500
"""Training label maps from which an answer without images is made; more would take long and change little."""

LabelGuess = Callable[[int, tuple[int, int]], NDArray[np.uint8]]
"""Returns class indices (height, width) for the test image of an index and a height and width."""


@dataclass(frozen=True)
class ControlReader:
    """Reads an image and its labels as a control shows them.

    Attributes:
        kind: what is changed: with ``shuffled_labels`` the label file may belong to an image of another size, with
            ``noise_images`` the image is noise.
        seed: the seed of the noise.
    """

    kind: ControlKind
    seed: int

    def __call__(self, pair: ImageLabelPair, label_space: LabelSpace) -> tuple[ImageArray, ImageArray]:
        """Return the image (height, width, 3), uint8 BGR, and its class indices (height, width), uint8."""
        if self.kind == "shuffled_labels":
            image, labels = read_bgr_image(pair.image_path), read_label_map(pair.label_path, label_space)
            return image, resize_labels(labels, (image.shape[0], image.shape[1]))
        image, labels = read_image_pair(pair, label_space)
        return (draw_noise(image.shape, self.seed, pair.name) if self.kind == "noise_images" else image), labels


def exchange_label_files(dataset: SegmentationDataset, seed: int) -> SegmentationDataset:
    """Return a data set whose training and validation images have the label files of other images of their split.

    Args:
        dataset: the data set.
        seed: the seed of the order.
    """
    splits = dict(dataset.splits)
    for name in ("train", "val"):  # the test has to be the real one
        pairs = splits.get(name, ())
        labels = shuffle_items([pair.label_path for pair in pairs], seed)
        if pairs:
            splits[name] = [pair._replace(label_path=path) for pair, path in zip(pairs, labels, strict=True)]
    return replace(dataset, splits=splits)


def resize_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a label map at another height and width, each pixel with the label of the nearest one."""
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def answer_best_mask(dataset: SegmentationDataset, metrics: Sequence[MetricSpec], folder: Path) -> TaskOutcome:
    """Return the outcome of the best of three segmentations that need no image.

    They are the most frequent class everywhere, the most frequent class at each position (the mean mask), and the
    label map of some training image. By mIoU, which rewards naming every class, the first is hardly ever the best.

    Args:
        dataset: the data set.
        metrics: the task's metrics; the first decides which is the best.
        folder: the run's folder, where the pixel counts are written.
    """
    guesses = _make_guesses(dataset)
    counted = {name: np.stack(list(_count_areas(dataset, guess))) for name, guess in guesses.items()}
    best = max(counted, key=lambda name: getattr(compute_segmentation_scores(counted[name].sum(0)), metrics[0].name))
    areas, pairs = counted[best], dataset.splits["test"]
    with atomic_writer(folder / AREAS_FILE) as file:
        np.save(file, areas)
    total = compute_segmentation_scores(areas.sum(0))
    return TaskOutcome(
        metrics={
            spec.name: MetricValue(
                value=getattr(total, spec.name), unit=spec.unit, higher_is_better=spec.higher_is_better, n=len(pairs)
            )
            for spec in metrics
        },
        item_columns=ImageScores._fields,
        item_rows=[score_image(item, pair.name, areas[item]) for item, pair in enumerate(pairs)],
        selection=ModelSelection(split="none", metric=metrics[0].name, candidates=len(guesses), chosen=best),
        load_report=None,
        checkpoint_format=None,
        parameters=0,
        phase_seconds={},
        details={"areas": {"file": AREAS_FILE, "sha256": sha256_file(folder / AREAS_FILE)}},
    )


def _make_guesses(dataset: SegmentationDataset) -> Mapping[str, LabelGuess]:
    """Return the three segmentations by name, made from label maps of train."""
    pairs = dataset.splits["train"]
    chosen = np.linspace(0, len(pairs) - 1, min(len(pairs), MAX_TRAIN_MAPS)).astype(int)  # evenly spread
    # pixels of each class at each position of the grid; the last column counts ignored pixels
    votes = np.zeros((GRID_SIZE * GRID_SIZE, IGNORE_INDEX + 1), np.int32)
    places = np.arange(GRID_SIZE * GRID_SIZE)
    for index in chosen:
        labels = read_label_map(pairs[index].label_path, dataset.label_space)
        votes[places, resize_labels(labels, (GRID_SIZE, GRID_SIZE)).ravel()] += 1
    votes = votes[:, :IGNORE_INDEX]
    frequent = np.uint8(votes.sum(0).argmax())
    mask = np.where(votes.any(1), votes.argmax(1), frequent).astype(np.uint8).reshape(GRID_SIZE, GRID_SIZE)

    def repeat_train_map(item: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        pair = pairs[chosen[item % len(chosen)]]
        labels = resize_labels(read_label_map(pair.label_path, dataset.label_space), size)
        return np.where(labels == IGNORE_INDEX, frequent, labels)

    return {
        "the most frequent class": lambda item, size: np.full(size, frequent),
        "the mean mask": lambda item, size: resize_labels(mask, size),
        "the label map of a training image": repeat_train_map,
    }


def _count_areas(dataset: SegmentationDataset, guess: LabelGuess) -> Iterator[NDArray[np.int64]]:
    """Yield the pixel counts (3, classes) of each test image."""
    for item, pair in enumerate(dataset.splits["test"]):
        truth = read_label_map(pair.label_path, dataset.label_space)
        predicted = guess(item, (truth.shape[0], truth.shape[1]))
        yield count_class_areas(predicted, truth, dataset.label_space.num_classes)
