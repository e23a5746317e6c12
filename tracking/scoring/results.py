"""Read the result folders of trackers: one text file of boxes per sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from foundation.errors import DataError, UserError
from tracking.data.box_files import read_predicted_boxes
from tracking.data.boxes import FloatArray
from tracking.scoring.ground_truth import SequenceGroundTruth


class TrackerResults(NamedTuple):
    """The results in a tracker's folder.

    Attributes:
        boxes: boxes by sequence name, one array of shape (frames, 4) per repetition.
        notes: what a reader should know, one sentence each.
    """

    boxes: dict[str, list[FloatArray]]
    notes: tuple[str, ...]


def derive_tracker_names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each folder: its own, with as many parent folders as needed to distinguish the trackers.

    Args:
        folders: the folders of the trackers.

    Raises:
        UserError: a folder is named twice or is not a folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--results {folder} is not a folder; name one that holds one text file per sequence")
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) != len(resolved):
        raise UserError("--results names the same folder twice; name each tracker's folder once")
    # it ends, because complete paths differ
    depth = 1
    while len({folder.parts[-depth:] for folder in resolved}) < len(resolved):
        depth += 1
    return ["/".join(folder.parts[-depth:]) for folder in resolved]


def find_result_files(folder: Path, sequence_name: str, has_repetitions: bool, field_prefix: str = "") -> list[Path]:
    """Return the result files of a sequence: ``<name>.txt``, or with repetitions ``<name>/<name>_001.txt`` and so on.

    The second target of a video (``Jogging.2``) may also be written as ``Jogging-2`` or ``Jogging_2``.

    Args:
        folder: folder of the tracker.
        sequence_name: name of the sequence.
        has_repetitions: look for repetitions in a folder of the sequence.
        field_prefix: what OSTrack and pytracking put before the name (``uav_bike1``).

    Returns:
        One path per repetition; empty if there is no result.
    """
    if has_repetitions and (folder / sequence_name).is_dir():
        return sorted((folder / sequence_name).glob(f"{sequence_name}_[0-9][0-9][0-9].txt"))
    stem, dot, number = sequence_name.rpartition(".")
    spellings = [sequence_name] + ([f"{stem}-{number}", f"{stem}_{number}"] if dot else [])
    spellings += [f"{field_prefix}{sequence_name}"]
    # the first spelling that exists, so that a sequence has one result
    return [path for path in (folder / f"{spelling}.txt" for spelling in spellings) if path.is_file()][:1]


def read_tracker_results(
    folder: Path,
    ground_truths: Iterable[SequenceGroundTruth],
    truncated_sequences: frozenset[str],
    has_repetitions: bool,
    field_prefix: str = "",
) -> TrackerResults:
    """Read a tracker's boxes for the sequences of a test set.

    Args:
        folder: folder of the tracker.
        ground_truths: the ground truth of the sequences.
        truncated_sequences: names of sequences whose results may be longer than the ground truth and are cut to it.
        has_repetitions: look for repetitions in a folder of the sequence.
        field_prefix: what OSTrack and pytracking put before the names.

    Raises:
        DataError: a file is not a list of boxes, or no file in the folder belongs to the set.
    """
    boxes: dict[str, list[FloatArray]] = {}
    notes = []
    for truth in ground_truths:
        files = find_result_files(folder, truth.name, has_repetitions, field_prefix)
        runs = [read_predicted_boxes(path) for path in files]
        frames = len(truth.boxes)
        # longer results of any other sequence are reported as having the wrong length
        if truth.name in truncated_sequences and any(len(run) > frames for run in runs):
            notes.append(f"{truth.name}: {len(runs[0])} boxes cut to its {frames} frames, as the official tools do")
            runs = [run[:frames] for run in runs]
        if runs:
            boxes[truth.name] = runs
    if not boxes:
        raise DataError(f"{folder} holds no result of any sequence in the set; it needs files <sequence>.txt")
    return TrackerResults(boxes, tuple(notes))
