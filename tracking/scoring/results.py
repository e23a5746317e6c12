"""Reads the result folders of trackers: one text file of boxes a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from foundation.errors import DataError, UserError
from tracking.data.box_files import read_predicted_boxes
from tracking.data.boxes import FloatArray
from tracking.scoring.score import SequenceGroundTruth


class TrackerResults(NamedTuple):
    """What a tracker's folder holds: boxes by sequence (a list of repetitions), and what a reader should know."""

    boxes: dict[str, list[FloatArray]]
    notes: tuple[str, ...]


def derive_tracker_names(folders: Sequence[Path]) -> list[str]:
    """A name a folder: its own, with as many parents as tell the trackers apart.

    Raises:
        UserError: one folder is named twice, or is no folder.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--results {folder} is no folder; name one that holds a text file a sequence")
    if len(set(resolved)) != len(resolved):
        raise UserError("--results names one folder twice; name each tracker's folder once")
    depth = 1
    while len({folder.parts[-depth:] for folder in resolved}) < len(resolved):
        depth += 1
    return ["/".join(folder.parts[-depth:]) for folder in resolved]


def find_result_files(folder: Path, sequence_name: str, has_repetitions: bool) -> list[Path]:
    """The files of one sequence: ``<name>.txt``; where repetitions are, ``<name>/<name>_001.txt`` and so on.

    A second target of one video (``Jogging.1``) may be written ``Jogging-1`` or ``Jogging_1`` too.
    """
    if has_repetitions and (folder / sequence_name).is_dir():
        return sorted((folder / sequence_name).glob(f"{sequence_name}_[0-9][0-9][0-9].txt"))
    stem, dot, number = sequence_name.rpartition(".")
    spellings = [sequence_name] + ([f"{stem}-{number}", f"{stem}_{number}"] if dot else [])
    return [path for path in (folder / f"{spelling}.txt" for spelling in spellings) if path.is_file()][:1]


def read_tracker_results(
    folder: Path,
    ground_truths: Iterable[SequenceGroundTruth],
    truncated_sequences: frozenset[str],
    has_repetitions: bool,
) -> TrackerResults:
    """Read a tracker's boxes for the sequences of a set.

    Args:
        folder: of the tracker.
        ground_truths: the sequences.
        truncated_sequences: sequences whose longer results are cut to the ground truth.
        has_repetitions: whether repetitions are looked for.

    Raises:
        DataError: a file is no list of boxes, or no file of the folder belongs to the set.
    """
    boxes: dict[str, list[FloatArray]] = {}
    notes = []
    for truth in ground_truths:
        runs = [read_predicted_boxes(path) for path in find_result_files(folder, truth.name, has_repetitions)]
        frames = len(truth.boxes)
        if truth.name in truncated_sequences and any(len(run) > frames for run in runs):
            notes.append(f"{truth.name}: {len(runs[0])} boxes cut to its {frames} frames, as the official tools do")
            runs = [run[:frames] for run in runs]
        if runs:
            boxes[truth.name] = runs
    if not boxes:
        raise DataError(f"{folder} holds no result of any sequence of the set; it needs <sequence>.txt files")
    return TrackerResults(boxes, tuple(notes))
