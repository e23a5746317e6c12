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
from tracking.data.box_files import read_box_file, read_flag_file
from tracking.data.readers.sequence import (
    FrameFiles,
    NumberedFiles,
    Video,
    has_area,
    read_text,
    require_equal_counts,
)
from tracking.data.readers.zips import FileLike, ZipContents, ZippedSequence, read_zip_contents

TEST_LIST_FILE, TRAIN_LIST_FILE = "testing_set.txt", "training_set.txt"
SHORT_GROUND_TRUTHS = {"monkey-17": 2260}
"""Sequences whose ground truth is shorter than their frames, by design; what comes after is not used."""


class SequenceFiles(NamedTuple):
    """A sequence's files, wherever they are: its text files by name, the numbers of its frames, the first n frames."""

    text_file: Callable[[str], FileLike]
    frame_numbers: NDArray[np.int64]
    first_frames: Callable[[int], FrameFiles]
    image_location: str


def read_test_videos(root: Path) -> list[Video]:
    """The test sequences, in the order of the official list ``testing_set.txt``.

    Raises:
        DataError: naming the file and the mend.
    """
    zipped = read_zip_contents(root)
    return [read_lasot_video(root, name, zipped) for name in _read_test_names(root, zipped)]


def read_train_videos(root: Path) -> list[Video]:
    """The training sequences: of ``training_set.txt``, or all others than the test sequences.

    Raises:
        DataError: naming the file and the mend.
    """
    zipped = read_zip_contents(root)
    listing = _find_list_file(root, TRAIN_LIST_FILE, zipped)
    if listing is not None:
        names = read_text(listing).split()
    else:
        found = {path.parent.name for path in root.glob("*/*/groundtruth.txt")} | zipped.sequences.keys()
        names = sorted(found - set(_read_test_names(root, zipped)))
    if not names:
        raise DataError(f"{root} has no training sequences; LaSOT's are folders such as airplane/airplane-2")
    return [read_lasot_video(root, name, zipped) for name in names]


def read_lasot_video(root: Path, name: str, zip_contents: ZipContents) -> Video:
    """One sequence by name; ``zip_contents``: what the zips in ``root`` hold.

    Raises:
        DataError: naming the file and the mend.
    """
    parts = _find_sequence(root, name, zip_contents)
    boxes = read_box_file(parts.text_file("groundtruth.txt"), allow_nan=True)
    count = _count_frames(parts, name)
    if SHORT_GROUND_TRUTHS.get(name) == len(boxes):
        count = min(count, len(boxes))
    require_equal_counts(name, count, len(boxes))
    occluded, out_of_view = (
        read_flag_file(parts.text_file(label), count) for label in ("full_occlusion.txt", "out_of_view.txt")
    )
    return Video(name, parts.first_frames(count), boxes, has_area(boxes) & ~(occluded | out_of_view))


def _find_sequence(root: Path, name: str, zip_contents: ZipContents) -> SequenceFiles:
    folder = root / name.rpartition("-")[0] / name
    if name in zip_contents.sequences and not (folder / "img").is_dir():
        return _files_in_zip(zip_contents.sequences[name])
    if not folder.is_dir():
        raise DataError(
            f"sequence {name} is missing: there is no folder {folder}; unpack it there, or put its zip into {root}"
        )
    return _files_in_folder(folder, name)


def _files_in_zip(zipped: ZippedSequence) -> SequenceFiles:
    return SequenceFiles(
        zipped.text_file, zipped.frame_numbers, zipped.first_frames, f"{zipped.archive}/{zipped.folder}/img"
    )


def _files_in_folder(folder: Path, name: str) -> SequenceFiles:
    images = folder / "img"
    if not images.is_dir():
        raise DataError(f"sequence {name} has no folder {images} with its frames")
    numbers = sorted(int(path.stem) for path in images.iterdir() if path.suffix == ".jpg" and path.stem.isdecimal())
    return SequenceFiles(
        lambda file: folder / file,
        np.array(numbers, np.int64),
        lambda count: NumberedFiles(images, "{:08d}.jpg", count),
        str(images),
    )


def _find_list_file(root: Path, name: str, zip_contents: ZipContents) -> FileLike | None:
    """A list of sequences: beside them, or in one of the zips."""
    return root / name if (root / name).is_file() else zip_contents.list_files.get(name)


def _read_test_names(root: Path, zip_contents: ZipContents) -> list[str]:
    path = _find_list_file(root, TEST_LIST_FILE, zip_contents)
    if path is None:
        raise DataError(
            f"{root} is not LaSOT's root: it has no {TEST_LIST_FILE} (the list of test sequences, in LaSOT's "
            "evaluation toolkit); name the folder that holds the list and the category folders or zips, or its parent, "
            "with --data-root"
        )
    names = read_text(path).split()
    if not names:
        raise DataError(f"{path} is empty; it lists the test sequences, one a line")
    return names


def _count_frames(parts: SequenceFiles, name: str) -> int:
    """How many frames there are; none may be missing among them."""
    gaps = np.flatnonzero(parts.frame_numbers != np.arange(1, len(parts.frame_numbers) + 1))
    if gaps.size:
        raise DataError(
            f"the frame {parts.image_location}/{gaps[0] + 1:08d}.jpg is missing; fetch sequence {name} again"
        )
    return len(parts.frame_numbers)
