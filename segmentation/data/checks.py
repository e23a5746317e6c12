"""Check a labeled data set: counts, sizes, label values, classes that never occur, and labels that are shifted by one.

Two label errors are classic, because both go unnoticed: files that hold label 255 or labels shifted by one, because
somebody saved them after mmseg's ``reduce_zero_label``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.duplicates import judge_duplicates
from engine.data.file_hashes import EMPTY_DIGESTS
from engine.progress_bar import log_message
from engine.task import DataReport, DecodeLevel
from foundation.errors import DataError
from segmentation.data.ade20k_classes import read_object_info
from segmentation.data.dataset_layout import ADE20K_LABEL_SPACE, DatasetHashes, ImageLabelPair, SegmentationDataset
from segmentation.data.files import read_bgr_image, read_label_values, require_same_size, require_valid_labels
from segmentation.data.label_checks import require_labeled_pixels
from segmentation.data.label_headers import require_fitting_headers
from segmentation.data.label_summaries import LabelSummaries, summarize_labels
from segmentation.data.labels import LabelSpace

SAMPLED_PAIRS = 50
"""Number of pairs of each split that are opened when only a sample is checked."""

ClassNamesGetter = Callable[[], Sequence[str]]
LabelComparer = Callable[[LabelSummaries], Sequence[str]]


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
    compare_labels: LabelComparer,
) -> DataReport:
    """Check a data set and report what was found.

    Label files are summarized whatever ``decode`` says, because a label that is wrong would cost a whole training; a
    second check takes the summaries from the cache.

    Args:
        dataset: the data set with its files paired.
        decode: how many images are opened: ``none``, ``sample`` or ``all``.
        official_counts: number of images of each split of the official data set; ``None`` if there is no official one.
        get_class_names: returns the class names; called only if images are opened.
        compare_labels: returns how the labels differ from the official ones, one sentence each.

    Raises:
        DataError: a file is wrong; the message names the first one and how to fix it.
    """
    is_official = official_counts is not None
    splits = {split: len(pairs) for split, pairs in dataset.splits.items()}
    hashes = dataset.hash_contents()
    _require_content(dataset, hashes)
    # the files of official sets are known
    turned: list[str] = []
    if dataset.has_own_classes:
        turned = require_fitting_headers([pair for _, pair in dataset.list_pairs()], dataset.label_space)
    summaries = summarize_labels(dataset, hashes.labels.digests)
    # a user's own list may well number ADE20K's classes from 0, with ADE20K's files beside them
    if not dataset.has_own_classes:
        require_unshifted_labels(_sum_all(summaries.sum_histograms(split) for split in splits), dataset.root)
    notes = [*dataset.notes, *turned, *require_labeled_pixels(dataset, summaries, is_official)]
    opened = {split: _scan_split(split, pairs, dataset.label_space, decode) for split, pairs in dataset.splits.items()}
    if decode != "none":
        notes += [_format_split_scan(split, each, dataset.label_space) for split, each in opened.items()]
        total = _sum_all(each.label_histogram for each in opened.values())
        notes.append(_format_unseen_classes(total, dataset.label_space, get_class_names(), decode))
    deviations = [
        f"{split} has {splits.get(split, 0):,} of {count:,} pairs"
        for split, count in (official_counts or {}).items()
        if splits.get(split, 0) != count
    ]
    duplicates, repeated = _find_shared_images(dataset, hashes, is_official)
    return DataReport(
        dataset.compute_fingerprint(hashes),
        splits,
        (*notes, *repeated),
        (*deviations, *compare_labels(summaries)),
        coverage=hashes.coverage,
        duplicates=duplicates,
    )


def _sum_all(histograms: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return sum(histograms, np.zeros(256, np.int64))


def _require_content(dataset: SegmentationDataset, hashes: DatasetHashes) -> None:
    for (_, pair), *digests in zip(dataset.list_pairs(), hashes.images.digests, hashes.labels.digests, strict=True):
        for path, digest in zip(pair[1:], digests, strict=True):
            if digest in EMPTY_DIGESTS:
                raise DataError(f"{path} cannot be decoded (0 bytes); fetch it again")


def _find_shared_images(
    dataset: SegmentationDataset, hashes: DatasetHashes, is_official: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which images are in two splits: those that make a test worthless, and notes on an official data set.

    Label files are not compared: two images may well have equal ones.
    """
    if not hashes.images.is_complete:  # equal sizes say nothing
        return (), ()
    items: dict[str, list[tuple[str, str]]] = {split: [] for split in dataset.splits}
    for (split, pair), digest in zip(dataset.list_pairs(), hashes.images.digests, strict=True):
        items[split].append((dataset.get_relative_name(pair.image_path), digest))
    return judge_duplicates(items, is_official)


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
        image, labels = read_bgr_image(pair.image_path), read_label_values(pair.label_path, label_space)
        require_valid_labels(labels, pair.label_path, label_space)
        require_same_size(image, labels, pair)
        histogram += np.bincount(labels.ravel(), minlength=256)  # valid labels are at most 255, so this has 256 entries
        if count % 1000 == 0:
            log_message(f"{split}: {count:,} of {len(chosen):,} pairs opened")
    return SplitScan(histogram, len(chosen))


def _format_split_scan(split: str, scan: SplitScan, label_space: LabelSpace) -> str:
    ignored = sum(int(scan.label_histogram[label]) for label in label_space.ignored_labels)
    seen = int((label_space.count_class_pixels(scan.label_histogram) > 0).sum())
    percent = 100 * ignored / max(int(scan.label_histogram.sum()), 1)
    return (
        f"{split}: {scan.num_files:,} pairs opened, {seen} of {label_space.num_classes} classes seen, "
        f"{percent:.1f} % of the pixels are ignored"
    )


def _format_unseen_classes(
    label_histogram: NDArray[np.int64], label_space: LabelSpace, class_names: Sequence[str], decode: DecodeLevel
) -> str:
    pixels = label_space.count_class_pixels(label_histogram)
    missing = [name for name, count in zip(class_names, pixels, strict=True) if not count]
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
        DataError: the labels are shifted, or the list cannot be read.
    """
    entries = read_object_info(folder)
    if entries is None or len(entries) != ADE20K_LABEL_SPACE.num_classes:  # another number is a deviation of its own
        return
    fractions = np.array([entry.pixel_fraction for entry in entries])
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
