"""The data sets of pre-training: images, with or without labels. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean


@dataclass(frozen=True)
class PretrainDatasetCard:
    """What is known of a set before it is read.

    Attributes:
        name: as ``--data`` calls it.
        summary: one line.
        reader_name: function in ``pretraining.data.readers``.
        official_count: images of the whole training split, or ``None``.
        has_labels: whether its labels can be used for a health check.
    """

    name: str
    summary: str
    reader_name: str
    official_count: int | None = None
    has_labels: bool = False


_DATASET_CARDS = (
    PretrainDatasetCard(
        "digits", "training images of scikit-learn's digits (embedded)", "read_digits", 1_169, has_labels=True
    ),
    PretrainDatasetCard("photos", "tiles of photographs that scikit-image ships (embedded)", "read_photos"),
    PretrainDatasetCard("cifar10", "CIFAR-10's training images", "read_cifar10", 50_000, has_labels=True),
    PretrainDatasetCard("cifar100", "CIFAR-100's training images", "read_cifar100", 50_000, has_labels=True),
    PretrainDatasetCard(
        "imagenet", "ImageNet-1k's: imagenet/train, a folder a class", "read_imagenet", 1_281_167, has_labels=True
    ),
    PretrainDatasetCard("folder", "all images below --data-root; labels are not needed", "read_image_folder"),
)
DATASET_CARDS = {each.name: each for each in _DATASET_CARDS}


def get_dataset_card(name: str) -> PretrainDatasetCard:
    """The set of that name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in DATASET_CARDS:
        raise UnknownNameError(
            f"unknown pre-training data {name!r}{did_you_mean(name, DATASET_CARDS, hint=', '.join(DATASET_CARDS))}"
        )
    return DATASET_CARDS[name]
