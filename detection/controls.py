"""Destroy the signal of images with objects, and answer without looking at them: the negative controls of detection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, overload

import cv2
import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from detection.data.dataset import ImageReader
from detection.data.ground_truth import (
    Annotations,
    DetectionDataset,
    DetectionImage,
    DetectionSplit,
    InstanceMask,
    RleMask,
)
from detection.data.read_image import read_rgb_image
from detection.data.samples import ImageDetections
from detection.evaluation import DetectionMetric
from detection.scored_run import describe_scores, make_metric_values
from detection.scoring.detection_files import DETECTIONS_FILE
from detection.scoring.image_scores import ImageScores
from engine.data.control_task import draw_noise, shuffle_items
from engine.task import Task, TaskOutcome
from foundation.array_types import FloatArray, IntArray
from results.records.record import ModelSelection

GRID_SIZE = 6
"""Frequent boxes are counted on a grid: each side of a box has one of 6 places in the image, since images differ."""

MAX_TRAIN_IMAGES = 5_000
"""Training images from which an answer without images is made; more would take long and change little."""

MAX_GUESSES = 100
"""COCO counts as many detections of an image."""

Size = tuple[int, int]


class GuessedObjects(NamedTuple):
    """What is answered for an image: boxes as fractions of its size, from the best to the worst.

    Attributes:
        boxes: left, top, right, bottom, from 0 to 1, (n, 4).
        labels: (n,).
        scores: from 0 to 1, (n,).
    """

    boxes: FloatArray
    labels: IntArray
    scores: FloatArray


@dataclass(frozen=True)
class NoiseReader:
    """Reads noise of the size of an image.

    Attributes:
        seed: the seed of the noise.
    """

    seed: int

    def __call__(self, entry: DetectionImage) -> Image.Image:
        """Return noise at the size of an image; the same for the same image."""
        image = read_rgb_image(entry)
        return Image.fromarray(draw_noise((image.height, image.width, 3), self.seed, entry.name))


def make_noise_reader(seed: int) -> ImageReader:
    """Return what reads noise instead of images.

    Args:
        seed: the seed of the noise.
    """
    return NoiseReader(seed)


class ScaledMasks(Sequence[InstanceMask]):
    """The masks of objects that were moved to images of other sizes; each is made when it is asked for.

    Args:
        masks: the masks at the sizes of their own images.
        rows: row of each object in ``masks``.
        sizes: height and width of its own image, then of the one that it was moved to.
    """

    def __init__(self, masks: Sequence[InstanceMask], rows: IntArray, sizes: Sequence[tuple[Size, Size]]) -> None:
        self.masks, self.rows, self.sizes = masks, rows, sizes

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> InstanceMask: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[InstanceMask]: ...
    def __getitem__(self, index: int | slice) -> InstanceMask | Sequence[InstanceMask]:
        """Return the mask of an object, or those of several."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return resize_mask(self.masks[int(self.rows[index])], *self.sizes[index])


def resize_mask(mask: InstanceMask, old: Size, new: Size) -> InstanceMask:
    """Return a mask at the size of another image.

    Args:
        mask: polygons or run lengths.
        old: height and width of its own image, pixels.
        new: height and width of the other image.
    """
    if old == new:
        return mask
    if not isinstance(mask, dict):
        # corners of pixels are at whole numbers in both images, so a factor is all that moves
        return [outline * (new[1] / old[1], new[0] / old[0]) for outline in mask]
    # nearest: a mask has no values between 0 and 1
    pixels = cv2.resize(coco_mask.decode(mask), new[::-1], interpolation=cv2.INTER_NEAREST)
    packed: RleMask = coco_mask.encode(np.asfortranarray(pixels, np.uint8))
    return packed


def exchange_objects(dataset: DetectionDataset, seed: int) -> DetectionDataset:
    """Return a data set whose training and validation images have the objects of other images of their split.

    Boxes and masks are stretched to the size of the image that they are moved to.

    Args:
        dataset: the data set.
        seed: the seed of the order.
    """
    splits = dict(dataset.splits)
    for name in ("train", "val"):  # the test has to be the real one
        if name in splits:
            splits[name] = _exchange_within(splits[name], seed)
    return replace(dataset, splits=splits)


def _exchange_within(split: DetectionSplit, seed: int) -> DetectionSplit:
    # image i gets all objects of image owners[i], so that numbers and sizes of objects stay those of the data set
    owners = shuffle_items(range(len(split)), seed)
    found, images = split.annotations, split.images
    ranges = [found.find_rows(owner) for owner in owners]
    rows = np.concatenate([np.arange(each.start, each.stop) for each in ranges]).astype(np.int64)
    places = np.repeat(np.arange(len(split)), [each.stop - each.start for each in ranges])
    old, new = (
        np.array([(images[place].height, images[place].width) for place in chosen], float).reshape(-1, 2)
        for chosen in (found.images[rows], places)
    )
    # (height, width) to (width, height): boxes are left, top, width, height
    factors = (new / old)[:, ::-1]
    sizes = [((int(a[0]), int(a[1])), (int(b[0]), int(b[1]))) for a, b in zip(old, new, strict=True)]
    moved = Annotations(
        images=places.astype(np.int64),
        ids=found.ids[rows],
        labels=found.labels[rows],
        boxes=found.boxes[rows] * np.concatenate([factors, factors], 1),
        # the area is that of the mask, which is stretched in both directions
        areas=found.areas[rows] * factors.prod(1),
        is_crowd=found.is_crowd[rows],
        masks=None if found.masks is None else ScaledMasks(found.masks, rows, sizes),
    )
    return replace(split, annotations=moved)


def answer_mean_objects(dataset: DetectionDataset, task: Task, folder: Path) -> TaskOutcome:
    """Return the outcome of the better of two answers that need no image.

    They are the most frequent boxes of train with their classes, and the objects of some training image. The mask of an
    answer is its whole box.

    Args:
        dataset: the data set.
        task: its first metric decides which is the better.
        folder: the run's folder, where detections and matches are written.
    """
    guesses = _make_guesses(dataset)
    # every answer is scored by the metric of a run, so that the comparison is of answers alone
    scored = {name: _score_guess(dataset, guess) for name, guess in guesses.items()}
    primary = task.metrics[0].name
    best = max(scored, key=lambda name: scored[name].scores[primary])
    # again, because the file of detections must be that of the better answer
    metric = _score_guess(dataset, guesses[best], folder / DETECTIONS_FILE)
    split = dataset.splits["test"]
    return TaskOutcome(
        metrics=make_metric_values(task, metric.scores, len(split)),
        item_columns=ImageScores._fields,
        item_rows=metric.image_scores,
        selection=ModelSelection(split="none", metric=primary, candidates=len(guesses), chosen=best),
        load_report=None,
        checkpoint_format=None,
        parameters=0,
        phase_seconds={},
        details=describe_scores(dataset, metric, folder),
    )


def _make_guesses(dataset: DetectionDataset) -> Mapping[str, Callable[[int], GuessedObjects]]:
    """Return the two answers by name; each says what it answers for the test image of an index."""
    split = dataset.splits["train"]
    chosen = np.linspace(0, len(split) - 1, min(len(split), MAX_TRAIN_IMAGES)).astype(int)  # evenly spread
    known = [guess for place in chosen if len((guess := _list_objects(split, int(place))).labels)]
    counts: Counter[tuple[int, ...]] = Counter()
    for guess in known:
        cells = (guess.boxes * GRID_SIZE).round().astype(int)
        # a box thinner than a cell is drawn as one cell
        cells[:, 2:] = np.maximum(cells[:, 2:], cells[:, :2] + 1)
        counts.update(tuple(row) for row in np.concatenate([guess.labels[:, None], cells], 1).tolist())
    # the count is the score: a box that is right more often stands before one that is right less often
    frequent = counts.most_common(MAX_GUESSES)
    top = max(1, frequent[0][1]) if frequent else 1
    rows = np.array([row for row, _ in frequent]).reshape(-1, 5)
    often = GuessedObjects(rows[:, 1:] / GRID_SIZE, rows[:, 0], np.array([count / top for _, count in frequent]))
    return {
        "the most frequent boxes": lambda item: often,
        "the objects of a training image": lambda item: known[item % len(known)],
    }


def _list_objects(split: DetectionSplit, place: int) -> GuessedObjects:
    """Return the objects of an image, the largest first, and scores that fall."""
    rows, image = split.annotations.find_rows(place), split.images[place]
    # a crowd is no object that one could name
    kept = np.flatnonzero(~split.annotations.is_crowd[rows])[:MAX_GUESSES]
    boxes, labels = split.annotations.boxes[rows][kept], split.annotations.labels[rows][kept]
    order = np.argsort(-boxes[:, 2:].prod(1), kind="stable")
    boxes = boxes[order] / (image.width, image.height, image.width, image.height)
    # annotated boxes may end a pixel outside of the image
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).clip(0, 1)
    return GuessedObjects(corners, labels[order], 1 - np.arange(len(order)) / (2 * MAX_GUESSES))


def _score_guess(
    dataset: DetectionDataset, guess: Callable[[int], GuessedObjects], result_file: Path | None = None
) -> DetectionMetric:
    """Score an answer as a run is scored."""
    split = dataset.splits["test"]
    metric = DetectionMetric(split, dataset.categories, dataset.has_masks, result_file)
    for item, image in enumerate(split.images):
        found = guess(item)
        boxes = found.boxes * (image.width, image.height, image.width, image.height)
        masks = [_fill_box(box, (image.height, image.width)) for box in boxes] if dataset.has_masks else None
        tensors = (torch.from_numpy(boxes).float(), torch.from_numpy(found.scores).float())
        metric.process({}, [ImageDetections(item, *tensors, torch.from_numpy(found.labels), masks)])
    # mmengine sets the metric's attributes here
    metric.evaluate(len(split))
    return metric


def _fill_box(box: FloatArray, size: Size) -> RleMask:
    """Return the mask that fills a box: left, top, right, bottom in pixels."""
    left, top, right, bottom = box.tolist()
    outline = [left, top, right, top, right, bottom, left, bottom]
    packed: RleMask = coco_mask.frPyObjects([outline], *size)[0]
    return packed
