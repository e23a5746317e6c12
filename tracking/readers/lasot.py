"""LaSOT as it ships: ``category/category-N/img/%08d.jpg`` and three text files (arXiv 1809.07845)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foundation.errors import DataError
from tracking.readers.sequence import Numbered, Video, has_area, read_boxes, read_flags, require_equal

TEST_LIST, TRAIN_LIST = "testing_set.txt", "training_set.txt"
ENDS_EARLY = {"monkey-17": 2260}
"""Sequences whose ground truth is shorter than their frames, by design; what comes after is not used."""


def test_videos(root: Path) -> list[Video]:
    """The test sequences, in the order of the official list ``testing_set.txt``.

    Raises:
        DataError: naming the file and the mend.
    """
    return [read_video(root, name) for name in _listed(root)]


def train_videos(root: Path) -> list[Video]:
    """The training sequences: of ``training_set.txt``, or all others than the test sequences.

    Raises:
        DataError: naming the file and the mend.
    """
    if (root / TRAIN_LIST).is_file():
        names = (root / TRAIN_LIST).read_text().split()
    else:
        tests = set(_listed(root))
        found = {path.parent.name for path in root.glob("*/*/groundtruth.txt")}
        names = sorted(found - tests)
    if not names:
        raise DataError(f"{root} has no training sequences; LaSOT's are folders such as airplane/airplane-2")
    return [read_video(root, name) for name in names]


def read_video(root: Path, name: str) -> Video:
    """One sequence by name.

    Raises:
        DataError: naming the file and the mend.
    """
    folder = root / name.rpartition("-")[0] / name
    if not folder.is_dir():
        raise DataError(f"sequence {name} is missing: there is no folder {folder}; unpack it there")
    boxes = read_boxes(folder / "groundtruth.txt")
    count = _count_frames(folder, name)
    if ENDS_EARLY.get(name) == len(boxes):
        count = min(count, len(boxes))
    require_equal(name, count, len(boxes))
    hidden = read_flags(folder / "full_occlusion.txt", count) + read_flags(folder / "out_of_view.txt", count)
    return Video(name, Numbered(folder / "img", "{:08d}.jpg", count), boxes, has_area(boxes) & (hidden == 0))


def _listed(root: Path) -> list[str]:
    path = root / TEST_LIST
    if not path.is_file():
        raise DataError(
            f"{root} is not LaSOT's root: it has no {TEST_LIST} (the list of test sequences, in LaSOT's evaluation "
            "toolkit); name the folder that holds the list and the category folders, or its parent, with --data-root"
        )
    names = path.read_text().split()
    if not names:
        raise DataError(f"{path} is empty; it lists the test sequences, one a line")
    return names


def _count_frames(folder: Path, name: str) -> int:
    """How many frames there are; none may be missing among them."""
    images = folder / "img"
    if not images.is_dir():
        raise DataError(f"sequence {name} has no folder {images} with its frames")
    numbers = sorted(int(path.stem) for path in images.iterdir() if path.suffix == ".jpg" and path.stem.isdecimal())
    expected = np.arange(1, len(numbers) + 1)
    gaps = np.flatnonzero(np.array(numbers, np.int64) != expected)
    if gaps.size:
        raise DataError(f"the frame {images / f'{gaps[0] + 1:08d}.jpg'} is missing; unpack sequence {name} again")
    return len(numbers)
