"""Destroy the signal of labeled images, and answer without looking at them: the negative controls of classification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from classification.data.dataset_splits import PreparedDataset
from classification.data.image_collections import ImageCollection
from classification.metrics import ScoredItem, compute_accuracies, to_record_metrics
from engine.data.control_task import draw_noise, mark_fingerprint, shuffle_items
from engine.data.digits import DigitsData
from engine.data.file_hashes import FileHashes
from engine.task import ControlKind, MetricSpec, TaskOutcome
from results.records.record import ModelSelection

LEARNING_SPLITS = ("train", "val")
"""The splits whose labels are shuffled; those of test stay, because the test has to be the real one."""


class NoiseImages:
    """Noise in place of the images of a collection, each as large as the image it stands for.

    Args:
        images: the images.
        seed: another seed gives other noise.
    """

    def __init__(self, images: ImageCollection, seed: int) -> None:
        self.images, self.seed = images, seed

    def __len__(self) -> int:
        return len(self.images)

    def load_image(self, index: int) -> Image.Image:
        """Return noise of the size of image ``index``."""
        width, height = self.images.load_image(index).size
        return Image.fromarray(draw_noise((height, width, 3), self.seed, self.get_relative_name(index)))

    def get_image_name(self, index: int) -> str:
        """Return the name of image ``index``."""
        return self.images.get_image_name(index)

    def get_relative_name(self, index: int) -> str:
        """Return the name of image ``index`` within the data set."""
        return self.images.get_relative_name(index)

    def hash_contents(self) -> FileHashes:
        """Return a digest of the content of each image."""
        return self.images.hash_contents()


def destroy_digits(digits: DigitsData, kind: ControlKind, seed: int) -> DigitsData:
    """Return the digits without the relation of images and labels that a kind of control destroys.

    Args:
        digits: the data.
        kind: ``shuffled_labels`` or ``noise_images``; the other kinds leave the data as they are.
        seed: the seed of the order or of the noise.
    """
    images, labels = digits.images.copy(), digits.labels.copy()
    if kind == "shuffled_labels":
        for split in LEARNING_SPLITS:
            members = digits.splits[split]
            labels[members] = shuffle_items(digits.labels[members].tolist(), seed)
    if kind == "noise_images":
        images[:] = draw_noise(images.shape, seed, "digits") / 255
    return digits._replace(images=images, labels=labels, fingerprint=mark_fingerprint(digits.fingerprint, kind, seed))


def destroy_images(data: PreparedDataset, kind: ControlKind, seed: int) -> PreparedDataset:
    """Return a data set of photographs without the relation of images and labels that a kind of control destroys.

    Args:
        data: the data set.
        kind: ``shuffled_labels`` or ``noise_images``; the other kinds leave the data as they are.
        seed: the seed of the order or of the noise.
    """
    splits = dict(data.splits)
    for name, split in data.splits.items():
        if kind == "shuffled_labels" and name in LEARNING_SPLITS:
            splits[name] = split._replace(labels=shuffle_items(split.labels, seed))
        if kind == "noise_images":
            splits[name] = split._replace(images=NoiseImages(split.images, seed))
    return replace(data, splits=splits, fingerprint=mark_fingerprint(data.fingerprint, kind, seed))


def answer_most_frequent(
    train_labels: Sequence[int], test_labels: Sequence[int], metrics: Sequence[MetricSpec]
) -> TaskOutcome:
    """Return the outcome of a classifier that ranks the classes by how often they occur in train, for every image.

    Args:
        train_labels: class of each training item.
        test_labels: class of each test item.
        metrics: the task's metrics.
    """
    in_train, in_test = Counter(train_labels), Counter(test_labels)
    # among classes equally frequent in train, the test decides: the best answer that needs no image
    order = sorted(set(train_labels) | set(test_labels), key=lambda label: (-in_train[label], -in_test[label], label))
    place = {label: rank for rank, label in enumerate(order)}
    share = in_train[order[0]] / len(train_labels)
    rows = [ScoredItem(item, label, order[0], share, place[label]) for item, label in enumerate(test_labels)]
    return TaskOutcome(
        metrics=to_record_metrics(metrics, compute_accuracies(rows, len(rows)), len(rows)),
        item_columns=ScoredItem._fields,
        item_rows=rows,
        selection=ModelSelection(split="none", metric=metrics[0].name, candidates=1, chosen="the most frequent class"),
        load_report=None,
        checkpoint_format=None,
        parameters=0,
        phase_seconds={},
    )
