"""Archives for the test servers of GOT-10k and TrackingNet, whose ground truth is withheld."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import DataError, IncompleteError
from foundation.files import atomic_writer
from tracking.scoring.boxes import read_labels, read_predictions
from tracking.scoring.metrics import Array
from tracking.scoring.results import result_files
from tracking.scoring.score import listed

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""A fixed date in the archive: same results, same bytes."""

Frames = Callable[[Path], dict[str, int]]


@dataclass(frozen=True)
class ServerSet:
    """A test set that a server scores.

    Attributes:
        title: of the set.
        folders: names its folder may have below the data root.
        expected: number of sequences.
        frames: number of images by sequence, given the folder.
        repeated: ``<sequence>/<sequence>_001.txt`` and ``_time.txt`` (GOT-10k), or a flat ``<sequence>.txt``.
    """

    title: str
    folders: tuple[str, ...]
    expected: int
    frames: Frames
    repeated: bool


def _got10k_frames(folder: Path) -> dict[str, int]:
    listing = folder / "list.txt"
    names = listing.read_text().split() if listing.is_file() else []
    return {name: sum(1 for _ in (folder / name).glob("*.jpg")) for name in names}


def _trackingnet_frames(folder: Path) -> dict[str, int]:
    names = sorted(path.stem for path in (folder / "anno").glob("*.txt"))
    return {name: sum(1 for _ in (folder / "frames" / name).glob("*.jpg")) for name in names}


SERVER_SETS = {
    "got10k_test": ServerSet(
        "GOT-10k test", ("got10k/test", "GOT-10k/test", "GOT10k/test", "test"), 180, _got10k_frames, True
    ),
    "trackingnet": ServerSet(
        "TrackingNet test", ("trackingnet/TEST", "TrackingNet/TEST", "TEST"), 511, _trackingnet_frames, False
    ),
}


def pack(server: ServerSet, root: Path, results: Path, out: Path) -> dict[str, Any]:
    """Write the archive that the server takes, of every sequence with a box for every frame, or nothing.

    Args:
        server: the set.
        root: data root, where the images lie: they say how many boxes are due.
        results: folder of the tracker.
        out: the archive.

    Returns:
        ``{"set", "archive", "sequences", "frames", "partial": False}``.

    Raises:
        DataError: the images are not all there, or a file is damaged.
        IncompleteError: a sequence is missing, or has too few or too many boxes.
    """
    frames = _frames(server, root)
    found = {name: _runs(server, results, name) for name in frames}
    missing = [name for name, runs in found.items() if not runs]
    wrong = [
        f"{name} ({len(boxes)} of {frames[name]} boxes)"
        for name, runs in found.items()
        for boxes in runs
        if len(boxes) != frames[name]
    ]
    if missing or wrong:
        faults = [f"missing: {listed(missing)}"] if missing else []
        faults += [f"wrong length: {listed(wrong)}"] if wrong else []
        raise IncompleteError(
            f"{results} is not whole for {server.title}, so no archive was written ({'; '.join(faults)})"
        )
    entries = {
        path: text for name, runs in found.items() for path, text in _entries(server, results, name, runs, frames[name])
    }
    with atomic_writer(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(entries.items()):
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), text, zipfile.ZIP_DEFLATED)
    total = sum(frames.values())
    return {"set": server.title, "archive": str(out), "sequences": len(frames), "frames": total, "partial": False}


def _frames(server: ServerSet, root: Path) -> dict[str, int]:
    for folder in (root, *(root / name for name in server.folders)):
        frames = server.frames(folder)
        if frames:
            break
    else:
        raise DataError(
            f"no {server.title} in {root} (nor in {', '.join(server.folders)} there); name it with --data-root"
        )
    empty = [name for name, count in frames.items() if not count]
    if empty:
        raise DataError(f"{folder} has no images of {listed(empty)}, which say how many boxes are due; fetch them")
    if len(frames) != server.expected:
        raise DataError(f"{folder} has {len(frames)} sequences, {server.title} has {server.expected}; fetch it whole")
    return frames


def _runs(server: ServerSet, results: Path, name: str) -> list[Array]:
    return [read_predictions(path) for path in result_files(results, name, server.repeated)]


def _entries(server: ServerSet, results: Path, name: str, runs: list[Array], frames: int) -> list[tuple[str, str]]:
    """Path in the archive and content of one sequence's files: comma, three decimals, as got10k writes them."""
    if not server.repeated:
        return [(f"{name}.txt", _lines(runs[0], "%.3f"))]
    times = next((p for p in (results / name / f"{name}_time.txt", results / f"{name}_time.txt") if p.is_file()), None)
    if times is None:
        raise IncompleteError(f"{results} lacks {name}_time.txt; GOT-10k's server wants the seconds of every frame")
    columns = _times(times, frames)
    entries = [(f"{name}/{name}_{number:03d}.txt", _lines(run, "%.3f")) for number, run in enumerate(runs, 1)]
    return [*entries, (f"{name}/{name}_time.txt", _lines(columns, "%.8f"))]


def _times(path: Path, frames: int) -> Array:
    """Seconds, a line a frame, a column a repetition."""
    first = path.read_text().lstrip().partition("\n")[0]
    width = max(1, len(first.replace(",", " ").split()))
    return read_labels(path, frames * width).reshape(frames, width)


def _lines(values: Array, form: str) -> str:
    stream = io.StringIO()
    np.savetxt(stream, values, fmt=form, delimiter=",")
    return stream.getvalue()
