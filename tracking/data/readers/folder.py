"""Read a user's own sequences: folders of images, each with a ``groundtruth.txt``."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from foundation.errors import DataError
from foundation.files import iter_files
from foundation.run_scope import memoize_in_run
from tracking.data.box_files import read_box_file, read_flag_file
from tracking.data.boxes import has_area
from tracking.data.readers.sequence import Video, require_equal_counts

GROUND_TRUTH_FILE = "groundtruth.txt"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
RESULT_SUFFIXES = ("_times", "_time", "_confidence")
"""Ends of the names of files that are written beside the boxes of a sequence."""
HIDDEN_LABEL_FILES = ("full_occlusion.txt", "out_of_view.txt", "absence.label")
"""Optional files with one flag per frame: 1 if the target cannot be seen."""


@memoize_in_run
def read_folder_videos(root: Path) -> list[Video]:
    """Read every folder at or below ``root`` that has a ``groundtruth.txt``, sorted by path.

    The images are next to that file or in its folder ``img``, and are ordered by the numbers in their names.

    Args:
        root: the folder.

    Raises:
        DataError: there is no sequence, or one is damaged; the message names the file and says how to fix it.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; name one with sequences with --data-root")
    folders = find_sequence_folders(root)
    if not folders:
        raise DataError(
            f"there is no sequence at or below {root}: a sequence is a folder of images with a {GROUND_TRUTH_FILE} "
            "(one box x, y, w, h per line)"
        )
    videos = [read_folder_video(folder, root) for folder in folders]
    places: dict[str, Path] = {}
    for folder, video in zip(folders, videos, strict=True):
        if video.name in places:  # the boxes of one would be written over those of the other
            raise DataError(
                f"{places[video.name]} and {folder} would both be the sequence {video.name} (a slash becomes _); "
                "rename one of them"
            )
        places[video.name] = folder
    for name, suffix in ((name, suffix) for name in places for suffix in RESULT_SUFFIXES):
        if f"{name}{suffix}" in places:
            raise DataError(
                f"the sequence {name} and the sequence {name}{suffix} would both write the result file "
                f"{name}{suffix}.txt; rename one of them"
            )
    return videos


def find_sequence_folders(root: Path) -> list[Path]:
    """Return every folder at or below ``root`` that has a ``groundtruth.txt``, sorted by path.

    Args:
        root: the folder.
    """
    return sorted(path.parent for path in iter_files(root) if path.name == GROUND_TRUTH_FILE)


def read_folder_video(folder: Path, root: Path | None = None) -> Video:
    """Read one folder as a sequence.

    Args:
        folder: the folder.
        root: the sequence is named after its path below this folder; by default after the folder itself.

    Raises:
        DataError: the sequence is damaged; the message names the file and says how to fix it.
    """
    # slashes are replaced, because result files are named after the sequence
    name = folder.name if root is None or folder == root else folder.relative_to(root).as_posix().replace("/", "_")
    frames = list_image_files(folder)
    boxes = read_box_file(folder / GROUND_TRUTH_FILE, allow_nan=True)
    require_equal_counts(name, len(frames), len(boxes), _describe_missing_frame(frames))
    # a target without a box (NaN or zero size) cannot be seen; label files can only add to that
    visible = has_area(boxes)
    for label in HIDDEN_LABEL_FILES:
        if (folder / label).is_file():
            visible &= ~read_flag_file(folder / label, len(frames))
    return Video(name, frames, boxes, visible)


def list_image_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the images in a folder, or in its folder ``img`` if there is one, ordered by the numbers in their names.

    Args:
        folder: the folder.
        suffixes: file name suffixes of images, in lower case.
    """
    place = folder / "img" if (folder / "img").is_dir() else folder
    return sorted((path for path in place.iterdir() if path.suffix.lower() in suffixes), key=_natural_sort_key)


def _natural_sort_key(path: Path) -> tuple[tuple[int, str], ...]:
    """Return a sort key by the numbers in a name, so that 2.jpg comes before 10.jpg."""
    parts = re.split(r"(\d+)", path.stem)
    # pairs, so that text and numbers can be compared; text (-1) comes before any number
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def _describe_missing_frame(frames: list[Path]) -> str:
    """Return a hint where the numbers of the frames have a gap; empty if there is none."""
    # names without a number at the end have no order in which a gap could be seen
    ends = [re.search(r"(\d+)$", path.stem) for path in frames]
    numbers = [int(end.group(1)) for end in ends if end]
    if len(numbers) < 2 or len(numbers) != len(frames):
        return ""
    jumps = np.flatnonzero(np.diff(numbers) != 1)
    return f" (after {frames[int(jumps[0])].name} a frame is missing)" if jumps.size else ""
