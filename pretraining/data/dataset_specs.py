"""The image sets for pre-training, with or without labels. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean


@dataclass(frozen=True)
class PretrainDatasetCard:
    """The facts about an image set that are known before it is read.

    Attributes:
        name: as ``--data`` takes it.
        summary: one line for listings.
        reader_name: name of a function in ``pretraining.data.readers``.
        official_count: number of images in the official training split; ``None`` if there is none.
        has_labels: whether it has labels for the k-NN check.
        has_files: whether its images are files, which loader processes decode; others are in memory.
    """

    name: str
    summary: str
    reader_name: str
    official_count: int | None = None
    has_labels: bool = False
    has_files: bool = False


_DATASET_CARDS = (
    PretrainDatasetCard(
        "digits", "training images of scikit-learn's digits (embedded)", "read_digits", 1_169, has_labels=True
    ),
    PretrainDatasetCard("photos", "tiles of photographs that scikit-image ships (embedded)", "read_photos"),
    PretrainDatasetCard("cifar10", "CIFAR-10's training images", "read_cifar10", 50_000, has_labels=True),
    PretrainDatasetCard("cifar100", "CIFAR-100's training images", "read_cifar100", 50_000, has_labels=True),
    PretrainDatasetCard(
        "imagenet",
        "ImageNet-1k's training images: imagenet/train, one folder per class, or tar archives",
        "read_imagenet",
        1_281_167,
        has_labels=True,
        has_files=True,
    ),
    PretrainDatasetCard(
        "folder", "all images below --data-root; labels are not needed", "read_image_folder", has_files=True
    ),
)
DATASET_CARDS = {each.name: each for each in _DATASET_CARDS}


def get_dataset_card(name: str) -> PretrainDatasetCard:
    """Return the image set with the given name.

    Raises:
        UnknownNameError: there is no such set; names the nearest ones.
    """
    if name not in DATASET_CARDS:
        raise UnknownNameError(
            f"unknown pre-training data {name!r}{did_you_mean(name, DATASET_CARDS, hint=', '.join(DATASET_CARDS))}"
        )
    return DATASET_CARDS[name]
