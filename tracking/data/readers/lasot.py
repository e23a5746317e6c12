"""Read LaSOT as it ships (arXiv 1809.07845): as unpacked folders or directly from its zips.

A sequence is a folder ``<category>/<category>-<number>`` with frames ``img/%08d.jpg`` and three text files. A sequence
that is both unpacked and in a zip is read from its folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.run_scope import memoize_in_run
from tracking.data.box_files import read_box_file, read_flag_file
from tracking.data.boxes import has_area
from tracking.data.readers.sequence import (
    FrameFiles,
    NumberedFiles,
    Video,
    read_text,
    require_equal_counts,
)
from tracking.data.readers.zips import FileLike, ZipContents, ZippedSequence, read_zip_contents

TEST_LIST_FILE, TRAIN_LIST_FILE = "testing_set.txt", "training_set.txt"
SHORT_GROUND_TRUTHS = {"monkey-17": 2260}
"""Sequences whose official ground truth ends before their frames do. The later frames are not used."""


class SequenceFiles(NamedTuple):
    """Access to the files of a sequence, in a folder or in a zip.

    Attributes:
        text_file: returns a text file by its name.
        frame_numbers: numbers of the existing frames, ascending, shape (frames,).
        first_frames: returns the first n frames.
        image_location: where the frames are, for messages.
    """

    text_file: Callable[[str], FileLike]
    frame_numbers: NDArray[np.int64]
    first_frames: Callable[[int], FrameFiles]
    image_location: str


@memoize_in_run
def read_test_videos(root: Path) -> list[Video]:
    """Read the test sequences, in the order of the official list ``testing_set.txt``.

    Args:
        root: folder with the list and the category folders or zips.

    Raises:
        DataError: a file is missing or damaged; the message names it and says how to fix it.
    """
    # the zips are read once for all sequences
    zipped = read_zip_contents(root)
    return [read_lasot_video(root, name, zipped) for name in _read_test_names(root, zipped)]


@memoize_in_run
def read_train_videos(root: Path) -> list[Video]:
    """Read the training sequences: those of ``training_set.txt``, or all sequences that are not test sequences.

    Args:
        root: folder with the lists and the category folders or zips.

    Raises:
        DataError: a file is missing or damaged; the message names it and says how to fix it.
    """
    zipped = read_zip_contents(root)
    listing = _find_list_file(root, TRAIN_LIST_FILE, zipped)
    if listing is not None:
        names = read_text(listing).split()
        _require_disjoint_lists(root, names, zipped)
    else:
        # without a list of its own, the training split is everything else; the test list is required even then
        found = {path.parent.name for path in root.glob("*/*/groundtruth.txt")} | zipped.sequences.keys()
        names = sorted(found - set(_read_test_names(root, zipped)))
    if not names:
        raise DataError(f"{root} has no training sequences; put LaSOT's there, folders such as airplane/airplane-2")
    return [read_lasot_video(root, name, zipped) for name in names]


def read_lasot_video(root: Path, name: str, zip_contents: ZipContents) -> Video:
    """Read one sequence.

    Args:
        root: folder with the category folders or zips.
        name: name of the sequence.
        zip_contents: the contents of the zips in ``root``.

    Raises:
        DataError: a file is missing or damaged; the message names it and says how to fix it.
    """
    parts = _find_sequence(root, name, zip_contents)
    boxes = read_box_file(parts.text_file("groundtruth.txt"), allow_nan=True)
    count = _count_frames(parts, name)
    # only if the ground truth has exactly the official length; otherwise counts that differ are an error
    if SHORT_GROUND_TRUTHS.get(name) == len(boxes):
        count = min(count, len(boxes))
    require_equal_counts(name, count, len(boxes))
    occluded, out_of_view = (
        read_flag_file(parts.text_file(label), count) for label in ("full_occlusion.txt", "out_of_view.txt")
    )
    return Video(name, parts.first_frames(count), boxes, has_area(boxes) & ~(occluded | out_of_view))


def _find_sequence(root: Path, name: str, zip_contents: ZipContents) -> SequenceFiles:
    """Return the files of a sequence, from its folder if its frames are unpacked, else from a zip.

    Raises:
        DataError: it is in neither.
    """
    folder = root / name.rpartition("-")[0] / name
    # a folder without img holds only annotation, and the frames are still in the zip
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
    # listed once here; the frames themselves are numbered without gaps, which _count_frames checks
    numbers = sorted(int(path.stem) for path in images.iterdir() if path.suffix == ".jpg" and path.stem.isdecimal())
    return SequenceFiles(
        lambda file: folder / file,
        np.array(numbers, np.int64),
        lambda count: NumberedFiles(images, "{:08d}.jpg", count),
        str(images),
    )


def _find_list_file(root: Path, name: str, zip_contents: ZipContents) -> FileLike | None:
    """Return a list of sequence names next to the sequences, or from one of the zips, or ``None``."""
    return root / name if (root / name).is_file() else zip_contents.list_files.get(name)


def _read_test_names(root: Path, zip_contents: ZipContents) -> list[str]:
    """Return the names in ``testing_set.txt``.

    Raises:
        DataError: the list is missing or empty.
    """
    path = _find_list_file(root, TEST_LIST_FILE, zip_contents)
    if path is None:
        raise DataError(
            f"{root} is not LaSOT's root: it has no {TEST_LIST_FILE} (the list of test sequences, in LaSOT's "
            "evaluation toolkit); use --data-root to name the folder that holds the list and the category folders or "
            "zips, or its parent"
        )
    names = read_text(path).split()
    if not names:
        raise DataError(f"{path} is empty; it must list the test sequences, one per line")
    return names


def _require_disjoint_lists(root: Path, train_names: list[str], zip_contents: ZipContents) -> None:
    """Require that no training sequence is a test sequence, where there is a list of test sequences.

    Raises:
        DataError: a sequence is in both lists.
    """
    if _find_list_file(root, TEST_LIST_FILE, zip_contents) is None:
        return
    both = sorted(set(train_names) & set(_read_test_names(root, zip_contents)))
    if both:
        raise DataError(
            f"sequence {both[0]} is in {TRAIN_LIST_FILE} and in {TEST_LIST_FILE} of {root} ({len(both)} are in both); "
            "a tracker must not be trained on what it is tested on, so fetch the lists again"
        )


def _count_frames(parts: SequenceFiles, name: str) -> int:
    """Return the number of frames after checking that none is missing between them."""
    # frames are numbered 1, 2, ..; the first number that differs from its position shows the first gap
    gaps = np.flatnonzero(parts.frame_numbers != np.arange(1, len(parts.frame_numbers) + 1))
    if gaps.size:
        raise DataError(
            f"the frame {parts.image_location}/{gaps[0] + 1:08d}.jpg is missing; fetch sequence {name} again"
        )
    return len(parts.frame_numbers)
