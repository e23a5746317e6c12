"""Pack archives for the test servers of GOT-10k and TrackingNet, whose ground truth is not public."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import DataError, IncompleteError
from foundation.files import atomic_writer
from foundation.text.user_text import read_user_text
from tracking.data.box_files import read_box_file, read_label_file, read_predicted_boxes
from tracking.data.boxes import FloatArray
from tracking.data.readers.set_folders import describe_archives, list_set_folders, list_wrapped_folders
from tracking.scoring.first_boxes import find_start_fault
from tracking.scoring.ground_truth import SequenceGroundTruth, format_name_list
from tracking.scoring.layouts import list_got10k_sequences
from tracking.scoring.results import find_result_files

_ZIP_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""A fixed date for all files in an archive, so that the same results give the same bytes."""

FrameCounter = Callable[[Path], dict[str, int]]


@dataclass(frozen=True)
class ServerTestSet:
    """A test set that a server scores.

    Attributes:
        title: name of the set.
        folder_names: names that its folder may have below the data root.
        expected_sequences: number of sequences in the complete set.
        count_frames: returns the number of images of each sequence, given the folder.
        get_first_box_path: returns where the given first box of a sequence is, from the folder and the name.
        has_repetitions: files in the archive are ``<sequence>/<sequence>_001.txt`` and ``_time.txt`` (GOT-10k) instead
            of ``<sequence>.txt``.
    """

    title: str
    folder_names: tuple[str, ...]
    expected_sequences: int
    count_frames: FrameCounter
    get_first_box_path: Callable[[Path, str], Path]
    has_repetitions: bool

    def find_sequences(self, root: Path) -> tuple[Path, dict[str, int]]:
        """Return the set's folder, and the number of images of each sequence.

        Args:
            root: the data root, or the folder of the set.

        Raises:
            DataError: there is no such set.
        """
        # the root first: it may be the set's own folder
        named = list_set_folders(root, self.folder_names)
        for folder in (root, *named, *list_wrapped_folders(root)):
            frames = self.count_frames(folder)
            if frames:
                return folder, frames
        raise DataError(
            f"there is no {self.title} in {root} (nor in {', '.join(self.folder_names)} there); name its folder with "
            f"--data-root{describe_archives([root, *named])}"
        )


def _count_got10k_frames(folder: Path) -> dict[str, int]:
    """Return the number of images of each sequence in ``list.txt``."""
    names = list_got10k_sequences(folder)
    return {name: sum(1 for _ in (folder / name).glob("[!.]*.jpg")) for name in names}


def _count_trackingnet_frames(folder: Path) -> dict[str, int]:
    """Return the number of images of each sequence with an annotation file."""
    # the test split has an annotation file with only the first box of each sequence
    names = sorted(path.stem for path in (folder / "anno").glob("[!.]*.txt"))
    return {name: sum(1 for _ in (folder / "frames" / name).glob("[!.]*.jpg")) for name in names}


SERVER_TEST_SETS = {
    "got10k_test": ServerTestSet(
        "GOT-10k test", ("got10k/test", "GOT-10k/test", "GOT10k/test", "test"), 180, _count_got10k_frames,
        lambda folder, name: folder / name / "groundtruth.txt", True,
    ),
    "trackingnet": ServerTestSet(
        "TrackingNet test", ("trackingnet/TEST", "TrackingNet/TEST", "TEST"), 511, _count_trackingnet_frames,
        lambda folder, name: folder / "anno" / f"{name}.txt", False,
    ),
}  # fmt: skip


def pack_submission(test_set: ServerTestSet, root: Path, results: Path, archive_path: Path) -> dict[str, Any]:
    """Write the archive for a server, with a box for every frame of every sequence, or nothing.

    Args:
        test_set: the set.
        root: data root with the images, which tell how many boxes are required.
        results: folder of the tracker.
        archive_path: the archive to write.

    Returns:
        ``{"set", "archive", "sequences", "frames", "partial": False}``.

    Raises:
        DataError: images are missing, a result file is damaged, or its boxes cannot be those of this set.
        IncompleteError: a sequence is missing, or has too few or too many boxes.
    """
    folder, frames = _load_frame_counts(test_set, root)
    found = {name: _read_repetitions(test_set, results, name) for name in frames}
    missing = [name for name, runs in found.items() if not runs]
    # every repetition is checked, and a sequence is named once for each that is wrong
    wrong = [
        f"{name} ({len(boxes)} of {frames[name]} boxes)"
        for name, runs in found.items()
        for boxes in runs
        if len(boxes) != frames[name]
    ]
    if missing or wrong:
        faults = [f"missing: {format_name_list(missing)}"] if missing else []
        faults += [f"wrong length: {format_name_list(wrong)}"] if wrong else []
        raise IncompleteError(
            f"{results} is incomplete for {test_set.title}, so no archive was written; track what is missing "
            f"({'; '.join(faults)})"
        )
    _require_first_boxes(test_set, folder, results, found, frames)
    entries = {
        path: text
        for name, runs in found.items()
        for path, text in _make_archive_entries(test_set, results, name, runs, frames[name])
    }
    # sorted and with a fixed date, so that the same results give the same bytes
    with atomic_writer(archive_path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(entries.items()):
            archive.writestr(zipfile.ZipInfo(path, _ZIP_TIMESTAMP), text, zipfile.ZIP_DEFLATED)
    total = sum(frames.values())
    return {
        "set": test_set.title,
        "archive": str(archive_path),
        "sequences": len(frames),
        "frames": total,
        "partial": False,
    }


def _require_first_boxes(
    test_set: ServerTestSet,
    folder: Path,
    results: Path,
    repetitions: Mapping[str, list[FloatArray]],
    frames: Mapping[str, int],
) -> None:
    """Check that the results start from the first boxes that the set gives, where its files are there.

    Raises:
        DataError: they do not, in more than a few sequences.
    """
    truths = []
    for name, count in frames.items():
        path = test_set.get_first_box_path(folder, name)
        if path.is_file():
            # nothing is known of the other frames
            boxes = np.full((count, 4), np.nan)
            boxes[0] = read_box_file(path)[0]
            truths.append(SequenceGroundTruth(name, boxes, np.zeros(count, np.bool_)))
    fault = find_start_fault(repetitions, truths)
    if fault.is_serious:
        raise DataError(f"{results}: {fault.sentence}; {fault.fix}; no archive was written")


def _load_frame_counts(test_set: ServerTestSet, root: Path) -> tuple[Path, dict[str, int]]:
    """Return the set's folder and the number of images of each sequence, after checking that the set is complete."""
    folder, frames = test_set.find_sequences(root)
    empty = [name for name, count in frames.items() if not count]
    if empty:
        raise DataError(
            f"{folder} has no images of {format_name_list(empty)}, which tell how many boxes are required; fetch them"
        )
    if len(frames) != test_set.expected_sequences:
        raise DataError(
            f"{folder} has {len(frames)} sequences, {test_set.title} has {test_set.expected_sequences}; complete the "
            "set"
        )
    return folder, frames


def _read_repetitions(test_set: ServerTestSet, results: Path, sequence_name: str) -> list[FloatArray]:
    """Return the boxes of each repetition of a sequence; empty if there is no result."""
    return [read_predicted_boxes(path) for path in find_result_files(results, sequence_name, test_set.has_repetitions)]


def _make_archive_entries(
    test_set: ServerTestSet, results: Path, sequence_name: str, repetitions: list[FloatArray], num_frames: int
) -> list[tuple[str, str]]:
    """Return path and content of each file of a sequence in the archive."""
    # comma and three decimals, as got10k writes them
    if not test_set.has_repetitions:
        return [(f"{sequence_name}.txt", _format_csv_rows(repetitions[0], "%.3f"))]
    # got10k writes times into the sequence's folder, other tools next to it
    times = next(
        (
            p
            for p in (results / sequence_name / f"{sequence_name}_time.txt", results / f"{sequence_name}_time.txt")
            if p.is_file()
        ),
        None,
    )
    if times is None:
        raise IncompleteError(
            f"{results} lacks {sequence_name}_time.txt; GOT-10k's server requires the seconds of every frame"
        )
    columns = _read_frame_times(times, num_frames)
    entries = [
        (f"{sequence_name}/{sequence_name}_{number:03d}.txt", _format_csv_rows(run, "%.3f"))
        # numbered again from 001, so that a repetition without a file leaves no gap
        for number, run in enumerate(repetitions, 1)
    ]
    return [*entries, (f"{sequence_name}/{sequence_name}_time.txt", _format_csv_rows(columns, "%.8f"))]


def _read_frame_times(path: Path, num_frames: int) -> FloatArray:
    """Read seconds: one line per frame and one column per repetition."""
    # the number of columns follows from the first line
    first = read_user_text(path).lstrip().partition("\n")[0]
    width = max(1, len(first.replace(",", " ").split()))
    return read_label_file(path, num_frames * width).reshape(num_frames, width)


def _format_csv_rows(values: FloatArray, number_format: str) -> str:
    """Return rows of numbers, separated by commas."""
    stream = io.StringIO()
    np.savetxt(stream, values, fmt=number_format, delimiter=",")
    return stream.getvalue()
