"""Reads the result folders of trackers: one text file of boxes a sequence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from foundation.errors import DataError, UserError
from tracking.scoring.boxes import read_predictions
from tracking.scoring.metrics import Array
from tracking.scoring.score import GroundTruth


class Results(NamedTuple):
    """What a tracker's folder holds: boxes by sequence (a list of repetitions), and what a reader should know."""

    boxes: dict[str, list[Array]]
    notes: tuple[str, ...]


def tracker_names(folders: list[Path]) -> list[str]:
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


def result_files(folder: Path, name: str, repeated: bool) -> list[Path]:
    """The files of one sequence: ``<name>.txt``; where repetitions are, ``<name>/<name>_001.txt`` and so on.

    A second target of one video (``Jogging.1``) may be written ``Jogging-1`` or ``Jogging_1`` too.
    """
    if repeated and (folder / name).is_dir():
        return sorted((folder / name).glob(f"{name}_[0-9][0-9][0-9].txt"))
    stem, dot, number = name.rpartition(".")
    spellings = [name] + ([f"{stem}-{number}", f"{stem}_{number}"] if dot else [])
    return [path for path in (folder / f"{spelling}.txt" for spelling in spellings) if path.is_file()][:1]


def read_results(folder: Path, truths: Iterable[GroundTruth], cut: frozenset[str], repeated: bool) -> Results:
    """Read a tracker's boxes for the sequences of a set.

    Args:
        folder: of the tracker.
        truths: the sequences.
        cut: sequences whose longer results are cut to the ground truth.
        repeated: whether repetitions are looked for.

    Raises:
        DataError: a file is no list of boxes, or no file of the folder belongs to the set.
    """
    boxes: dict[str, list[Array]] = {}
    notes = []
    for truth in truths:
        runs = [read_predictions(path) for path in result_files(folder, truth.name, repeated)]
        frames = len(truth.boxes)
        if truth.name in cut and any(len(run) > frames for run in runs):
            notes.append(f"{truth.name}: {len(runs[0])} boxes cut to its {frames} frames, as the official tools do")
            runs = [run[:frames] for run in runs]
        if runs:
            boxes[truth.name] = runs
    if not boxes:
        raise DataError(f"{folder} holds no result of any sequence of the set; it needs <sequence>.txt files")
    return Results(boxes, tuple(notes))
