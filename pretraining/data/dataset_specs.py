"""The data sets of pre-training: images, with or without labels. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean


@dataclass(frozen=True)
class PretrainSet:
    """What is known of a set before it is read.

    Attributes:
        name: as ``--data`` calls it.
        summary: one line.
        reader: function in ``pretraining.data.readers``.
        official: images of the whole training split, or ``None``.
        labelled: whether its labels can be used for a health check.
    """

    name: str
    summary: str
    reader: str
    official: int | None = None
    labelled: bool = False


_ALL = (
    PretrainSet("digits", "training images of scikit-learn's digits (embedded)", "digits", 1_169, labelled=True),
    PretrainSet("photos", "tiles of photographs that scikit-image ships (embedded)", "photos"),
    PretrainSet("cifar10", "CIFAR-10's training images", "cifar10", 50_000, labelled=True),
    PretrainSet("cifar100", "CIFAR-100's training images", "cifar100", 50_000, labelled=True),
    PretrainSet("imagenet", "ImageNet-1k's: imagenet/train, a folder a class", "imagenet", 1_281_167, labelled=True),
    PretrainSet("folder", "all images below --data-root; labels are not needed", "folder"),
)
SETS = {each.name: each for each in _ALL}


def get_set(name: str) -> PretrainSet:
    """The set of that name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in SETS:
        raise UnknownNameError(f"unknown pre-training data {name!r}{did_you_mean(name, SETS, hint=', '.join(SETS))}")
    return SETS[name]
