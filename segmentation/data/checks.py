"""Is a labelled set whole and sound: counts, sizes, labels, classes never seen, and the two classic label traps."""

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
"""Pairs of each split that a sample opens."""

ClassNamesGetter = Callable[[], Sequence[str]]


class SplitScan(NamedTuple):
    """What was seen in the files of a split that were opened: pixels by number 0..255, and files."""

    label_histogram: NDArray[np.int64]
    num_files: int


def check_dataset(
    dataset: SegmentationDataset,
    decode: DecodeLevel,
    official_counts: Mapping[str, int] | None,
    get_class_names: ClassNamesGetter,
) -> DataReport:
    """The report of a set.

    Args:
        dataset: the set, its files paired.
        decode: how many files are opened.
        official_counts: items of each split of the official set; ``None`` where there is none.
        get_class_names: gives the class names.

    Raises:
        DataError: naming the first file at fault and the mend.
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
        places = np.linspace(0, len(pairs) - 1, SAMPLED_PAIRS).astype(int)
        chosen = [pairs[place] for place in places]
    histogram = np.zeros(256, np.int64)
    for number, pair in enumerate(chosen, start=1):
        image, numbers = read_bgr_image(pair.image_path), read_raw_labels(pair.label_path)
        require_valid_labels(numbers, pair.label_path, label_space)
        require_same_size(image, numbers, pair)
        histogram += np.bincount(numbers.ravel(), minlength=256)
        if number % 1000 == 0:
            log_message(f"{split}: {number:,} of {len(chosen):,} pairs opened")
    return SplitScan(histogram, len(chosen))


def _format_split_scan(split: str, scan: SplitScan, label_space: LabelSpace) -> str:
    ignored = sum(int(scan.label_histogram[number]) for number in label_space.ignored_labels)
    seen = int(
        (scan.label_histogram[label_space.first_label : label_space.first_label + label_space.num_classes] > 0).sum()
    )
    share = 100 * ignored / max(int(scan.label_histogram.sum()), 1)
    return (
        f"{split}: {scan.num_files:,} pairs opened, {seen} of {label_space.num_classes} classes seen, "
        f"{share:.1f} % of the pixels do not count"
    )


def _format_unseen_classes(
    label_histogram: NDArray[np.int64], label_space: LabelSpace, class_names: Sequence[str], decode: DecodeLevel
) -> str:
    missing = [name for number, name in enumerate(class_names) if not label_histogram[label_space.first_label + number]]
    where = "anywhere" if decode == "all" else "in the sample"
    if not missing:
        return f"every class was seen {where}"
    shown = ", ".join(missing[:8]) + (" ..." if len(missing) > 8 else "")
    return f"{len(missing)} classes were not seen {where}: {shown}"


def require_unshifted_labels(label_histogram: NDArray[np.int64], folder: Path) -> None:
    """Refuse labels that were shifted by one already, found by the share of each class, where the set states them.

    ``objectInfo150.txt`` of ADE20K has every class's share of the pixels. Where the shares found resemble them more
    after a shift of one, the files are not the original ones (mmseg's ``reduce_zero_label`` written to disk), and each
    class would be learned, and scored, under its neighbour's name.

    Raises:
        DataError: the labels are shifted.
    """
    table = folder / "objectInfo150.txt"
    if not table.is_file():
        return
    lines = table.read_text(encoding="utf-8").splitlines()[1:]
    shares = np.array([float(line.split("\t")[1]) for line in lines if line.strip()])
    apart = {shift: _l1_distance(shares, label_histogram[1 + shift : 1 + shift + len(shares)]) for shift in (0, -1)}
    # of the whole set the distance is near 0; of a few images both are large and say nothing
    if apart[-1] < apart[0] / 2:
        raise DataError(
            f"the labels under {folder} look shifted by one (class shares are {apart[-1]:.2f} from the official ones "
            f"after a shift, {apart[0]:.2f} without); take the set's own annotation files"
        )


def _l1_distance(class_shares: NDArray[np.float64], pixel_counts: NDArray[np.int64]) -> float:
    """Sum of absolute differences between two distributions, 0 to 2."""
    return float(np.abs(class_shares / class_shares.sum() - pixel_counts / max(int(pixel_counts.sum()), 1)).sum())
