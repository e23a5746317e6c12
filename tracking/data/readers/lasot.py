"""LaSOT as it ships: ``category/category-N/img/%08d.jpg`` and three text files (arXiv 1809.07845), or zips of that.

A sequence that is both unpacked and in a zip is read from its folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from tracking.data.readers.sequence import (
    Files,
    Numbered,
    Video,
    has_area,
    read_boxes,
    read_flags,
    read_text,
    require_equal,
)
from tracking.data.readers.zips import Contents, File, ZippedSequence, contents

TEST_LIST, TRAIN_LIST = "testing_set.txt", "training_set.txt"
ENDS_EARLY = {"monkey-17": 2260}
"""Sequences whose ground truth is shorter than their frames, by design; what comes after is not used."""


class Parts(NamedTuple):
    """A sequence's files, wherever they are: its text files by name, the numbers of its frames, the first n frames."""

    text: Callable[[str], File]
    numbers: NDArray[np.int64]
    frames: Callable[[int], Files]
    images: str


def test_videos(root: Path) -> list[Video]:
    """The test sequences, in the order of the official list ``testing_set.txt``.

    Raises:
        DataError: naming the file and the mend.
    """
    zipped = contents(root)
    return [read_video(root, name, zipped) for name in _listed(root, zipped)]


def train_videos(root: Path) -> list[Video]:
    """The training sequences: of ``training_set.txt``, or all others than the test sequences.

    Raises:
        DataError: naming the file and the mend.
    """
    zipped = contents(root)
    listing = _list_file(root, TRAIN_LIST, zipped)
    if listing is not None:
        names = read_text(listing).split()
    else:
        found = {path.parent.name for path in root.glob("*/*/groundtruth.txt")} | zipped.sequences.keys()
        names = sorted(found - set(_listed(root, zipped)))
    if not names:
        raise DataError(f"{root} has no training sequences; LaSOT's are folders such as airplane/airplane-2")
    return [read_video(root, name, zipped) for name in names]


def read_video(root: Path, name: str, zipped: Contents) -> Video:
    """One sequence by name; ``zipped``: what the zips in ``root`` hold.

    Raises:
        DataError: naming the file and the mend.
    """
    parts = _find(root, name, zipped)
    boxes = read_boxes(parts.text("groundtruth.txt"))
    count = _count_frames(parts, name)
    if ENDS_EARLY.get(name) == len(boxes):
        count = min(count, len(boxes))
    require_equal(name, count, len(boxes))
    hidden = read_flags(parts.text("full_occlusion.txt"), count) + read_flags(parts.text("out_of_view.txt"), count)
    return Video(name, parts.frames(count), boxes, has_area(boxes) & (hidden == 0))


def _find(root: Path, name: str, zipped: Contents) -> Parts:
    folder = root / name.rpartition("-")[0] / name
    if name in zipped.sequences and not (folder / "img").is_dir():
        return _in_zip(zipped.sequences[name])
    if not folder.is_dir():
        raise DataError(
            f"sequence {name} is missing: there is no folder {folder}; unpack it there, or put its zip into {root}"
        )
    return _in_folder(folder, name)


def _in_zip(zipped: ZippedSequence) -> Parts:
    return Parts(zipped.text, zipped.numbers, zipped.frames, f"{zipped.archive}/{zipped.folder}/img")


def _in_folder(folder: Path, name: str) -> Parts:
    images = folder / "img"
    if not images.is_dir():
        raise DataError(f"sequence {name} has no folder {images} with its frames")
    numbers = sorted(int(path.stem) for path in images.iterdir() if path.suffix == ".jpg" and path.stem.isdecimal())
    return Parts(
        lambda file: folder / file,
        np.array(numbers, np.int64),
        lambda count: Numbered(images, "{:08d}.jpg", count),
        str(images),
    )


def _list_file(root: Path, name: str, zipped: Contents) -> File | None:
    """A list of sequences: beside them, or in one of the zips."""
    return root / name if (root / name).is_file() else zipped.lists.get(name)


def _listed(root: Path, zipped: Contents) -> list[str]:
    path = _list_file(root, TEST_LIST, zipped)
    if path is None:
        raise DataError(
            f"{root} is not LaSOT's root: it has no {TEST_LIST} (the list of test sequences, in LaSOT's evaluation "
            "toolkit); name the folder that holds the list and the category folders or zips, or its parent, with "
            "--data-root"
        )
    names = read_text(path).split()
    if not names:
        raise DataError(f"{path} is empty; it lists the test sequences, one a line")
    return names


def _count_frames(parts: Parts, name: str) -> int:
    """How many frames there are; none may be missing among them."""
    gaps = np.flatnonzero(parts.numbers != np.arange(1, len(parts.numbers) + 1))
    if gaps.size:
        raise DataError(f"the frame {parts.images}/{gaps[0] + 1:08d}.jpg is missing; fetch sequence {name} again")
    return len(parts.numbers)
