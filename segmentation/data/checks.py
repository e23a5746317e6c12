"""Check a labeled data set: counts, sizes, label values, classes that never occur, and labels that are shifted by one.

Two label errors are classic, because both go unnoticed: files that hold label 255 or labels shifted by one, because
somebody saved them after mmseg's ``reduce_zero_label``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.progress import log_message
from engine.task import DataReport, DecodeLevel
from foundation.errors import DataError
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import read_bgr_image, read_raw_labels, require_same_size, require_valid_labels
from segmentation.data.labels import LabelSpace

SAMPLED_PAIRS = 50
"""Number of pairs of each split that are opened when only a sample is checked."""

ClassNamesGetter = Callable[[], Sequence[str]]


class SplitScan(NamedTuple):
    """What the opened files of a split contain.

    Attributes:
        label_histogram: pixels of each label value 0..255, (256,).
        num_files: number of label files opened.
    """

    label_histogram: NDArray[np.int64]
    num_files: int


def check_dataset(
    dataset: SegmentationDataset,
    decode: DecodeLevel,
    official_counts: Mapping[str, int] | None,
    get_class_names: ClassNamesGetter,
) -> DataReport:
    """Check a data set and report what was found.

    Args:
        dataset: the data set with its files paired.
        decode: how many files are opened: ``none``, ``sample`` or ``all``.
        official_counts: number of images of each split of the official data set; ``None`` if there is no official one.
        get_class_names: returns the class names; called only if files are opened.

    Raises:
        DataError: a file is wrong; the message names the first one and how to fix it.
    """
    splits = {split: len(pairs) for split, pairs in dataset.splits.items()}
    opened = {split: _scan_split(split, pairs, dataset.label_space, decode) for split, pairs in dataset.splits.items()}
    notes: list[str] = []
    if decode != "none":
        total = sum((each.label_histogram for each in opened.values()), np.zeros(256, np.int64))
        require_unshifted_labels(total, dataset.root)
        notes = [_format_split_scan(split, each, dataset.label_space) for split, each in opened.items()]
        notes.append(_format_unseen_classes(total, dataset.label_space, get_class_names(), decode))
    deviations = [
        f"{split} has {splits.get(split, 0):,} of {count:,} pairs"
        for split, count in (official_counts or {}).items()
        if splits.get(split, 0) != count
    ]
    return DataReport(dataset.compute_fingerprint(), splits, tuple(notes), tuple(deviations))


def _scan_split(split: str, pairs: Sequence[ImageLabelPair], label_space: LabelSpace, decode: DecodeLevel) -> SplitScan:
    chosen = list(pairs)
    if decode == "none":
        chosen = []
    elif decode == "sample" and len(chosen) > SAMPLED_PAIRS:
        # evenly spread and not drawn at random, so that two checks of the same data open the same files
        indices = np.linspace(0, len(pairs) - 1, SAMPLED_PAIRS).astype(int)
        chosen = [pairs[index] for index in indices]
    histogram = np.zeros(256, np.int64)
    for count, pair in enumerate(chosen, start=1):
        image, labels = read_bgr_image(pair.image_path), read_raw_labels(pair.label_path)
        require_valid_labels(labels, pair.label_path, label_space)
        require_same_size(image, labels, pair)
        histogram += np.bincount(labels.ravel(), minlength=256)  # valid labels are at most 255, so this has 256 entries
        if count % 1000 == 0:
            log_message(f"{split}: {count:,} of {len(chosen):,} pairs opened")
    return SplitScan(histogram, len(chosen))


def _format_split_scan(split: str, scan: SplitScan, label_space: LabelSpace) -> str:
    ignored = sum(int(scan.label_histogram[label]) for label in label_space.ignored_labels)
    seen = int(
        (scan.label_histogram[label_space.first_label : label_space.first_label + label_space.num_classes] > 0).sum()
    )
    percent = 100 * ignored / max(int(scan.label_histogram.sum()), 1)
    return (
        f"{split}: {scan.num_files:,} pairs opened, {seen} of {label_space.num_classes} classes seen, "
        f"{percent:.1f} % of the pixels are ignored"
    )


def _format_unseen_classes(
    label_histogram: NDArray[np.int64], label_space: LabelSpace, class_names: Sequence[str], decode: DecodeLevel
) -> str:
    missing = [name for index, name in enumerate(class_names) if not label_histogram[label_space.first_label + index]]
    where = "anywhere" if decode == "all" else "in the sample"
    if not missing:
        return f"every class was seen {where}"
    shown = ", ".join(missing[:8]) + (" ..." if len(missing) > 8 else "")
    return f"{len(missing)} classes were not seen {where}: {shown}"


def require_unshifted_labels(label_histogram: NDArray[np.int64], folder: Path) -> None:
    """Refuse labels that are shifted by one, if the data set states how often each class occurs.

    ``objectInfo150.txt`` of ADE20K lists the fraction of the pixels that each class covers. If the fractions found fit
    this list better after a shift of one, the label files are not the original ones (somebody saved them after mmseg's
    ``reduce_zero_label``), and each class would be trained and scored under the name of its neighbor.

    Args:
        label_histogram: pixels of each label value 0..255, over all splits, (256,).
        folder: the data set's folder; without ``objectInfo150.txt`` nothing is checked.

    Raises:
        DataError: the labels are shifted.
    """
    table = folder / "objectInfo150.txt"
    if not table.is_file():
        return
    lines = table.read_text(encoding="utf-8").splitlines()[1:]  # the first line is the header
    # columns are separated by tabs; the second one is the fraction of the pixels
    fractions = np.array([float(line.split("\t")[1]) for line in lines if line.strip()])
    apart = {
        shift: _l1_distance(fractions, label_histogram[1 + shift : 1 + shift + len(fractions)]) for shift in (0, -1)
    }
    # over the complete data set the distance is near 0; over a few images both distances are large and prove nothing,
    # so the shifted one must be clearly smaller
    if apart[-1] < apart[0] / 2:
        raise DataError(
            f"the labels under {folder} look shifted by one (the fractions of the classes differ by {apart[-1]:.2f} "
            f"from the official ones after a shift, by {apart[0]:.2f} without); use the original annotation files"
        )


def _l1_distance(class_fractions: NDArray[np.float64], pixel_counts: NDArray[np.int64]) -> float:
    """Return the sum of absolute differences between two distributions, 0 (equal) to 2 (disjoint)."""
    return float(np.abs(class_fractions / class_fractions.sum() - pixel_counts / max(int(pixel_counts.sum()), 1)).sum())
