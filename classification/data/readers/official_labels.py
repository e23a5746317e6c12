"""Compare what a reader found with the official labels, of which digests are shipped (``label_digests.json``).

CIFAR-100's labels, Stanford Cars and iNaturalist have no digests here: their official label files were not at hand.
CIFAR-100's batch files are compared by their MD5, ImageNet's class folders with the official synsets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from classification.data.dataset_splits import RawSplit
from classification.data.image_collections import ImageFiles
from engine.data.official.label_digests import (
    NAME_DIGITS,
    LabelComparison,
    compare_class_names,
    compare_labels,
    format_names,
    hash_text,
    read_label_digests,
    unpack_items,
)
from foundation.files import sha256_chunks

LABEL_DIGESTS_FILE = Path(__file__).with_name("label_digests.json")
LABEL_DIGITS = 4
"""Hexadecimal digits of the digest of one label: one wrong label in 65,536 goes unnoticed."""
CIFAR_BATCH_SIZE = 10_000


def hash_batch_labels(labels: Sequence[int]) -> str:
    """Return the digest of the labels of a CIFAR batch file in their order, 16 hexadecimal digits.

    Args:
        labels: class indices, 0 to 255.
    """
    return sha256_chunks([bytes(labels)])[:16]


def compare_cifar_labels(
    dataset: str, labels: Mapping[str, Sequence[int]], class_names: Sequence[str]
) -> LabelComparison:
    """Compare the class names, and the labels of complete batch files.

    Args:
        dataset: ``cifar10`` or ``cifar100``.
        labels: class indices of each split in native order.
        class_names: name of each class, by class index.
    """
    digests = read_label_digests(LABEL_DIGESTS_FILE)[dataset]
    deviations = list(compare_class_names(class_names, digests["class_names"]))
    num_equal = 0
    for split, official in digests.get("batches", {}).items():
        if len(labels[split]) != CIFAR_BATCH_SIZE * len(official):  # a part, which the counts tell
            continue
        for number, digest in enumerate(official):
            batch = labels[split][number * CIFAR_BATCH_SIZE : (number + 1) * CIFAR_BATCH_SIZE]
            # a label above 255 is no class; it is refused later, with its own message
            if max(batch) <= 255 and hash_batch_labels(batch) == digest:
                num_equal += len(batch)
            else:
                first = number * CIFAR_BATCH_SIZE
                deviations.append(
                    f"{split} images {first:,} to {first + len(batch) - 1:,} have other labels than the official ones, "
                    "or another order"
                )
    return LabelComparison(tuple(deviations), num_equal)


def compare_image_labels(dataset: str, splits: Mapping[str, RawSplit]) -> LabelComparison:
    """Compare label and split of each image by the name of its file.

    Args:
        dataset: ``flowers`` or ``pets``.
        splits: images and labels, counted from 0.
    """
    # official labels are counted from 1
    found = {split: [(name, str(label + 1)) for name, label in _list_images(raw)] for split, raw in splits.items()}
    return compare_labels(found, unpack_items(read_label_digests(LABEL_DIGESTS_FILE)[dataset]))


def compare_aircraft_labels(splits: Mapping[str, RawSplit], class_names: Sequence[str]) -> LabelComparison:
    """Compare which images are in test, and whether the images of a variant belong together.

    Of the official labels only groups are at hand, each with one variant or several, and not of every training image.
    All images of a variant must be of one group.

    Args:
        splits: images and labels.
        class_names: name of each variant, by class index.
    """
    official = unpack_items(read_label_digests(LABEL_DIGESTS_FILE)["aircraft"])
    group_of = {**official["train+val"], **official["test"]}
    deviations: list[str] = []
    images: dict[int, list[tuple[str, str]]] = {}  # name and group of the known images of each class
    for split, raw in splits.items():
        misplaced = []
        for name, label in _list_images(raw):
            key = hash_text(name, NAME_DIGITS)
            if (key in official["test"]) != (split == "test"):
                misplaced.append(name)
            if key in group_of:
                images.setdefault(label, []).append((name, group_of[key]))
        if misplaced:
            belong = "are not in the official test" if split == "test" else "belong to the official test"
            deviations.append(f"{split} has items that {belong}: {format_names(misplaced)}")
    num_equal = 0
    for label, members in images.items():
        (group, count), *_ = Counter(group for _, group in members).most_common()
        num_equal += count
        odd = [name for name, other in members if other != group]
        if odd:
            deviations.append(f"{class_names[label]} has images of another official family: {format_names(odd)}")
    return LabelComparison(tuple(deviations), num_equal)


def describe_agreement(comparison: LabelComparison) -> tuple[str, ...]:
    """Return a note on the labels that are the official ones; nothing if none could be compared."""
    if not comparison.num_equal:
        return ()
    return (f"{comparison.num_equal:,} images have their official label and are in their official split",)


def _list_images(raw: RawSplit) -> list[tuple[str, int]]:
    """Return name without the suffix, and label, of each image."""
    assert isinstance(raw.images, ImageFiles)
    return [(Path(path).stem, label) for path, label in zip(raw.images.paths, raw.labels, strict=True)]
