"""The names of files and folders in the layouts of sequences: LaSOT, OTB, VOT, GOT-10k, MOT, and others."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

IMAGE_FOLDERS = frozenset(
    {"img", "imgs", "img1", "image", "images", "color", "colour", "rgb", "frame", "frames", "visible"}
)
"""Names, in lower case, of the folder that holds the images of the sequence around it."""

HIDDEN_LABEL_FILES = ("full_occlusion.txt", "out_of_view.txt", "absence.label")
"""Optional files with one flag per frame: 1 if the target cannot be seen (LaSOT, GOT-10k)."""
COVER_FILE = "cover.label"
"""Visible part of the target in eighths, from 0 to 8, for each frame (GOT-10k)."""
SEQUENCE_INFO_FILE = "seqinfo.ini"
"""Name, length and folder of images of a sequence of MOT."""
LIST_FILE = "list.txt"
"""The names of all sequences (GOT-10k, VOT)."""
TEST_LIST_FILE, TRAIN_LIST_FILE = "testing_set.txt", "training_set.txt"
"""The names of the sequences of each split (LaSOT), which may be of more sequences than are there."""

_ONE_TARGET = re.compile(r"(groundtruth|groundtruth_rect|ground_truth|gt)\.(txt|csv)", re.IGNORECASE)
_NUMBERED_TARGET = re.compile(
    r"(?:groundtruth|groundtruth_rect|ground_truth|gt)[._-]?(?:object|target|obj)?[._-]?([0-9]+)\.(?:txt|csv)",
    re.IGNORECASE,
)

RESULT_FOLDERS = frozenset(
    {"result", "results", "tracking_results", "raw_results", "prediction", "predictions", "output"}
)
"""Names, in lower case, of folders of what a tracker answered; its boxes must not pass for the annotation."""

SIDE_FILES = (
    *(
        "nlp.txt",
        "language.txt",
        "meta_info.ini",
        "meta.txt",
        "cut_by_image.label",
        "seqinfo.ini",
        "det/*.txt",
        "gt/labels.txt",
    ),
    *("*.tag", "*.value", "sequence", "cfg.mat", "camera_motion.label", "illum_change.label", "motion_change.label"),
    *("occlusion.label", "size_change.label", "description.json"),
)
"""Files of a sequence that say nothing about where the target is (descriptions, attributes, detections): patterns
relative to the sequence's folder, in lower case."""
SET_FILES = ("list.txt", "testing_set.txt", "training_set.txt", "description.json", "vot2*.json")
"""Files above the sequences that list or describe them."""


def find_target(name: str) -> str | None:
    """Return which target of a sequence a file annotates: its number, or an empty text for the only one.

    Args:
        name: name of a file in the folder of a sequence.

    Returns:
        ``None`` if the file is not an annotation.

    >>> [find_target(name) for name in ("groundtruth_rect.txt", "groundtruth_rect.2.txt", "nlp.txt")]
    ['', '2', None]
    """
    if _ONE_TARGET.fullmatch(name):
        return ""
    numbered = _NUMBERED_TARGET.fullmatch(name)
    return numbered[1].lstrip("0") or "0" if numbered else None


def is_side_file(path: str) -> bool:
    """Return whether a file in the folder of a sequence is known to say nothing about where the target is.

    Args:
        path: relative to the sequence's folder.
    """
    lower = path.lower()
    return any(fnmatchcase(lower, pattern) and lower.count("/") == pattern.count("/") for pattern in SIDE_FILES)


def is_set_file(name: str) -> bool:
    """Return whether a file above the sequences is known to list or describe them.

    Args:
        name: name of the file.
    """
    return any(fnmatchcase(name.lower(), pattern) for pattern in SET_FILES)
