"""Read the ground truth of MOT Challenge: rows of frame, target, box and visibility, for all targets of a video."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from foundation.errors import DataError
from foundation.plural import format_count
from tracking.data.box_files import decode_lines, read_bytes
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.sequence_folders.annotation_causes import explain_boxes

MIN_COLUMNS, MAX_COLUMNS = 6, 10
VISIBILITY_COLUMN = 8
"""The ninth of nine columns, from MOT16 on; the ten columns of MOT15 have none."""
MAX_NAMED_TARGETS = 12
MAX_NUMBER = 2**31


class MotTrack(NamedTuple):
    """The boxes of one target.

    Attributes:
        frames: numbers of the frames in which it has a box, ascending, shape (boxes,).
        boxes: x, y, width, height in pixels, shape (boxes, 4).
        visible: whether any part of it can be seen, shape (boxes,).
    """

    frames: np.ndarray
    boxes: FloatArray
    visible: BoolArray


def is_mot_file(path: Path) -> bool:
    """Return whether an annotation is called as in MOT, and its first line has as many numbers as a row of MOT.

    Args:
        path: the file.
    """
    # a row of frame, x, y, w, h, confidence has as many numbers, so the numbers alone do not say it
    if path.name.lower() != "gt.txt":
        return False
    return MIN_COLUMNS <= len(decode_lines(read_bytes(path), path)[0].replace(",", " ").split()) <= MAX_COLUMNS


def read_mot_tracks(path: Path, image_size: tuple[int, int] | None) -> dict[str, MotTrack]:
    """Read all targets of a video, by their numbers.

    Args:
        path: the file ``gt.txt``.
        image_size: width and height of the frames in pixels, if known.

    Raises:
        DataError: a row is not that of a target, or the boxes are not in pixels of these frames; the message names the
            line.
    """
    rows = _read_rows(path)
    if (rows[:, 1] < 0).any():
        line = int((rows[:, 1] < 0).argmax()) + 1
        _refuse(path, line, "has the target -1, so this is a file of detections; name the ground truth gt/gt.txt")
    bad = (rows[:, 4:6] < 0).any(axis=1) | ~np.isfinite(rows[:, :6]).all(axis=1)
    if bad.any():
        line = int(bad.argmax()) + 1
        _refuse(path, line, "has no box of four finite numbers x, y, w, h with w and h from 0 on; correct it")
    # of all targets together: what is wrong with their form is wrong in all rows
    cause = explain_boxes(rows[:, 2:6], image_size)
    if cause:
        raise DataError(f"{path}, {cause}")
    # as whole numbers: in the shortest form, 1000001 and 1000002 would both be 1e+06
    tracks = {}
    for target in np.unique(rows[:, 1]):
        lines = np.flatnonzero(rows[:, 1] == target)
        # rows may be sorted by target or not at all
        lines = lines[np.argsort(rows[lines, 0], kind="stable")]
        track = rows[lines]
        twice = np.flatnonzero(np.diff(track[:, 0]) == 0)
        if twice.size:
            second = int(lines[twice[0] + 1]) + 1
            _refuse(
                path, second, f"is a second box of target {int(target)} in frame {int(track[twice[0], 0])}; delete one"
            )
        has_visibility = rows.shape[1] == VISIBILITY_COLUMN + 1
        visible = track[:, VISIBILITY_COLUMN] > 0 if has_visibility else np.ones(len(track), np.bool_)
        tracks[str(int(target))] = MotTrack(track[:, 0].astype(np.int64), track[:, 2:6], visible)
    return tracks


def match_frames(listed: Iterable[int], numbers: Sequence[int], num_images: int, path: Path) -> dict[int, int]:
    """Return the index of the image of each frame number: by the number in its name, or by its place from 1 on.

    Images of MOT are numbered from 1, so that both are the same. Tools such as CVAT number them from 0, and the rows
    from 1.

    Args:
        listed: the frame numbers in the rows of all targets.
        numbers: the numbers in the names of the images, in order; empty if the names have none, or several.
        num_images: number of images.
        path: the file of the rows, for messages.

    Raises:
        DataError: neither way has an image for each row, or both have and they differ.
    """
    by_number = {number: index for index, number in enumerate(numbers)}
    by_place = {index + 1: index for index in range(num_images)}
    wanted = set(listed)
    fits = [places for places in (by_number, by_place) if wanted <= places.keys()]
    if not fits and not numbers:
        raise DataError(
            f"{path} has a row of frame {max(wanted)}, and there are {format_count(num_images, 'image')}, whose names "
            "do not say their numbers; name the images 000001.jpg, 000002.jpg and so on"
        )
    if not fits:
        missing = min(wanted - by_number.keys())
        raise DataError(
            f"{path} has a row of frame {missing}, and the images, with numbers from {min(numbers)} to {max(numbers)}, "
            "have none of this number; rows begin with the number of the image"
        )
    if len(fits) == 2 and by_number != by_place:
        raise DataError(
            f"the images beside {path} are numbered from {min(numbers)} on, so frame 1 of its rows could be the first "
            "image or the one with the number 1; number the images from 1 on"
        )
    return fits[0]


def choose_target(targets: dict[str, int], given: str | None, where: str) -> str:
    """Return the target to track.

    Args:
        targets: in how many frames each target has a box.
        given: the user's choice, if any.
        where: the file or folder that holds them, for the message.

    Raises:
        DataError: there are several and none was chosen, or the chosen one is not there.
    """
    if given is None and len(targets) == 1:
        return next(iter(targets))
    if given in targets:
        return given
    # the longest ones first: they are what somebody wants to follow
    longest = sorted(targets, key=lambda name: (-targets[name], len(name), name))
    named = ", ".join(f"{name} ({format_count(targets[name], 'frame')})" for name in longest[:MAX_NAMED_TARGETS])
    more = f" and {len(longest) - MAX_NAMED_TARGETS:,} more" if len(longest) > MAX_NAMED_TARGETS else ""
    problem = f"no target {given}, but " if given is not None else ""
    # the same option holds for all sequences, which need not have the same targets
    way_out = ", or leave the sequence out with --exclude" if given is not None else ""
    raise DataError(f"{where} has {problem}{named}{more}; choose one with --target {longest[0]}{way_out}")


def _read_rows(path: Path) -> FloatArray:
    """Return the rows as numbers, shape (rows, 6 to 10), with whole frames and targets.

    Raises:
        DataError: a line is not such a row.
    """
    lines = decode_lines(read_bytes(path), path)
    plain, rows = "\n".join(lines).replace(",", " "), np.zeros((0, 0))
    if plain.strip():  # of separators alone loadtxt makes nothing, and warns
        with contextlib.suppress(ValueError):
            rows = np.loadtxt(io.StringIO(plain), dtype=np.float64, comments=None, ndmin=2)
    if rows.shape[0] != len(lines) or not MIN_COLUMNS <= rows.shape[1] <= MAX_COLUMNS:
        wanted = len(lines[0].replace(",", " ").split())
        bad = next((n for n, line in enumerate(lines, 1) if not _is_row(line, wanted)), 1)
        _refuse(path, bad, f"is not a row frame,target,x,y,w,h,... of numbers: {lines[bad - 1].strip()[:60]!r}")
    # the bound keeps what follows within whole numbers; NaN fails each comparison
    broken = ~((rows[:, :2] == np.round(rows[:, :2])) & (np.abs(rows[:, :2]) < MAX_NUMBER)).all(axis=1)
    if broken.any():
        _refuse(path, int(broken.argmax()) + 1, "does not begin with the whole numbers of a frame and a target")
    return np.asarray(rows, np.float64)


def _is_row(line: str, columns: int) -> bool:
    fields = line.replace(",", " ").split()
    try:
        return len([float(field) for field in fields]) == columns and MIN_COLUMNS <= columns <= MAX_COLUMNS
    except ValueError:
        return False


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise DataError(f"{path}, line {line}, {problem}")
