"""Refuse labels that cannot give a number: classes that no pixel has, and splits in which every pixel is ignored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from segmentation.data.dataset_layout import SegmentationDataset
from segmentation.data.label_summaries import LabelSummaries
from segmentation.data.labels import LabelSpace

MAX_NAMED_CLASSES = 8


def require_labeled_pixels(dataset: SegmentationDataset, summaries: LabelSummaries, is_official: bool) -> list[str]:
    """Require that every split has labeled pixels, and that a user's classes occur in train and in test.

    Where the user's own list defines the classes, a class that no training pixel has could never be learned, and one
    that no test pixel has could never be scored. With an official label space, of which a part of the data need not
    have all classes, this is only noted.

    Args:
        dataset: the data set with its files paired.
        summaries: what the label files hold.
        is_official: whether the label space is that of an official data set.

    Returns:
        Notes.

    Raises:
        DataError: a split or a class has no labeled pixel; the message says what probably went wrong.
    """
    if not summaries.is_complete:  # a sample says nothing about the rest
        return ["whether every class occurs was not checked, because only a sample of the label files was opened"]
    histograms = {split: summaries.sum_histograms(split) for split in dataset.splits}
    total = np.sum(list(histograms.values()), axis=0)
    space = dataset.label_space
    notes = []
    for split, histogram in histograms.items():
        missing = [index for index in range(space.num_classes) if not histogram[space.first_label + index]]
        if len(missing) == space.num_classes:
            instead = f"use labeled images as {split}"  # of some data sets the labels of the test split are not public
            raise DataError(
                f"no pixel of the {split} split of {dataset.root} has a class: its {len(dataset.splits[split])} label "
                f"files hold nothing but label {_format_values(histogram)}, which is ignored; "
                f"{_find_hint(total, space) or instead}"
            )
        if missing and (is_official or split == "val"):
            notes.append(_format_missing(split, missing, space))
        elif missing:
            index = missing[0]
            purpose = "be learned" if split == "train" else "be scored"
            count = f" ({len(missing)} of {space.num_classes} classes have none)" if len(missing) > 1 else ""
            raise DataError(
                f"class {space.class_names[index]!r} (label {index}) of {dataset.root / 'classes.txt'} has no pixel in "
                f"the {split} split{count}, so it could never {purpose}; "
                f"{_find_hint(total, space) or 'move images between the splits so that each has every class'}"
            )
    return notes


def _format_values(histogram: NDArray[np.int64]) -> str:
    return " and ".join(map(str, np.flatnonzero(histogram)))


def _format_missing(split: str, missing: list[int], label_space: LabelSpace) -> str:
    # the names of ADE20K's classes are mmseg's, whose import takes seconds
    names = [label_space.class_names[index] for index in missing] if label_space.class_names else []
    shown = ", ".join(names[:MAX_NAMED_CLASSES]) + (" ..." if len(names) > MAX_NAMED_CLASSES else "")
    colon = ": " if names else ""
    return f"{len(missing)} of {label_space.num_classes} classes have no pixel in {split}{colon}{shown}"


def _find_hint(total: NDArray[np.int64], label_space: LabelSpace) -> str:
    """Return what probably went wrong, from the label values of all splits together; empty if every class occurs."""
    first, count = label_space.first_label, label_space.num_classes
    never = [index for index in range(count) if not total[first + index]]
    if never and total[255] and 255 in label_space.ignored_labels:
        # masks of 0 and 255 are what most tools write for two classes
        return f"255 is ignored: if it marks a class, write it as that class's label, here {first + never[0]}"
    if never == [0] and count > 2:
        return "labels are counted from 0: if yours begin with 1, subtract 1"
    if never:
        return (
            "label some pixels with it in train and in test, or take it off the list and renumber the labels after it"
        )
    return ""
