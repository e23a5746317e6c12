"""Refuse labels that cannot give a number: classes that no pixel has, and splits in which every pixel is ignored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from segmentation.data.dataset_layout import SegmentationDataset
from segmentation.data.label_hints import describe_class_labels, explain_unseen_class, find_class_value
from segmentation.data.label_summaries import LabelSummaries
from segmentation.data.labels import LabelSpace

MAX_NAMED_CLASSES = 8
_MOVE_IMAGES = "move images between the splits so that each has every class, or leave it out with --ignore"


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
        missing = np.flatnonzero(space.count_class_pixels(histogram) == 0).tolist()
        if len(missing) == space.num_classes:
            instead = f"use labeled images as {split}"  # of some data sets the labels of the test split are not public
            raise DataError(
                f"no pixel of the {split} split of {dataset.root} has a class: its {len(dataset.splits[split])} label "
                f"files hold nothing but label {_format_values(histogram)}, which is ignored; "
                f"{explain_unseen_class(0, total, space) or instead}"
            )
        if missing and (is_official or split == "val"):
            notes.append(_format_missing(split, missing, space))
        elif missing:
            index = missing[0]
            purpose = "be learned" if split == "train" else "be scored"
            move = f"{_MOVE_IMAGES} {find_class_value(index, space)}"
            count = f" ({len(missing)} of {space.num_classes} classes have none)" if len(missing) > 1 else ""
            raise DataError(
                f"class {space.class_names[index]!r} ({describe_class_labels(index, space)}) of {dataset.class_file} "
                f"has no pixel in the {split} split{count}, so it could never {purpose}; "
                f"{explain_unseen_class(index, total, space) or move}"
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
