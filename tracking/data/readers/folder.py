"""A user's own sequences: a folder of images and a ``groundtruth.txt`` each, nothing else."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from foundation.errors import DataError
from foundation.files import iter_files
from tracking.data.box_files import read_box_file, read_flag_file
from tracking.data.readers.sequence import Video, has_area, require_equal_counts

GROUND_TRUTH_FILE = "groundtruth.txt"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
HIDDEN_LABEL_FILES = ("full_occlusion.txt", "out_of_view.txt", "absence.label")
"""Optional: 1 where the target cannot be seen."""


def read_folder_videos(root: Path) -> list[Video]:
    """Every folder at or below ``root`` with a ``groundtruth.txt``, sorted by path.

    Images lie beside that file or in ``img``; their order is by the numbers in their names.

    Raises:
        DataError: naming the file and the mend.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; name one with sequences with --data-root")
    folders = sorted(path.parent for path in iter_files(root) if path.name == GROUND_TRUTH_FILE)
    if not folders:
        raise DataError(
            f"no sequence at or below {root}: a sequence is a folder of images with a {GROUND_TRUTH_FILE} "
            "(x, y, w, h a line)"
        )
    return [read_folder_video(folder, root) for folder in folders]


def read_folder_video(folder: Path, root: Path | None = None) -> Video:
    """One folder as a sequence; its name is its path below ``root``.

    Raises:
        DataError: naming the file and the mend.
    """
    name = folder.name if root is None or folder == root else folder.relative_to(root).as_posix().replace("/", "_")
    frames = list_image_files(folder)
    boxes = read_box_file(folder / GROUND_TRUTH_FILE, allow_nan=True)
    require_equal_counts(name, len(frames), len(boxes), _describe_missing_frame(frames))
    visible = has_area(boxes)
    for label in HIDDEN_LABEL_FILES:
        if (folder / label).is_file():
            visible &= ~read_flag_file(folder / label, len(frames))
    return Video(name, frames, boxes, visible)


def list_image_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The images in a folder, or in its ``img``, by the numbers in their names."""
    place = folder / "img" if (folder / "img").is_dir() else folder
    return sorted((path for path in place.iterdir() if path.suffix.lower() in suffixes), key=_natural_sort_key)


def _natural_sort_key(path: Path) -> tuple[tuple[int, str], ...]:
    """Names in the order of the numbers in them: 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", path.stem)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def _describe_missing_frame(frames: list[Path]) -> str:
    """Which number is missing, where all names end in one."""
    ends = [re.search(r"(\d+)$", path.stem) for path in frames]
    numbers = [int(end.group(1)) for end in ends if end]
    if len(numbers) < 2 or len(numbers) != len(frames):
        return ""
    jumps = np.flatnonzero(np.diff(numbers) != 1)
    return f" (after {frames[int(jumps[0])].name} a frame is missing)" if jumps.size else ""
