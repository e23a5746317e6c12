"""Read one sequence that was found: its frames in order, the boxes of the chosen target, and where it is hidden."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from engine.data.data_options import format_exclusion
from engine.data.decode import HEADER_ERRORS, open_header
from foundation.errors import DataError
from tracking.data.box_files import decode_lines, read_bytes, read_flag_file, read_label_file
from tracking.data.boxes import BoolArray, FloatArray, has_area
from tracking.data.readers.sequence import Video, require_equal_counts
from tracking.data.sequence_folders.annotations import REGION_NOTES, read_annotation
from tracking.data.sequence_folders.find_sequences import ONLY_TARGET, FoundSequence
from tracking.data.sequence_folders.frame_order import FrameOrder, describe_missing_frame, order_frames, require_no_gap
from tracking.data.sequence_folders.layout_names import COVER_FILE, HIDDEN_LABEL_FILES, SEQUENCE_INFO_FILE
from tracking.data.sequence_folders.mot_rows import choose_target, is_mot_file, match_frames, read_mot_tracks

_ORIENTATION_TAG = 0x0112
_FIRST_TURNED = 5
"""EXIF's orientations 5 to 8 turn an image by a quarter, so that width and height are exchanged."""


class ReadSequence(NamedTuple):
    """A sequence as it was read.

    Attributes:
        video: its frames and boxes.
        has_targets: whether its annotation numbers its targets, so that one can be chosen.
        notes: what was decided, without the name of the sequence.
    """

    video: Video
    has_targets: bool
    notes: tuple[str, ...]


def read_found_sequence(root: Path, found: FoundSequence, name: str, target: str | None) -> ReadSequence:
    """Read a sequence.

    Args:
        root: the folder of the data.
        found: its files.
        name: its name.
        target: which of several targets to read; ``None`` if the user chose none.

    Raises:
        DataError: a file is damaged, or frames and boxes do not fit together; the message names the file.
    """
    if not found.images:
        raise DataError(
            f"sequence {name} has no frames; put its images into {root / found.folder} or its folder img, or remove it"
        )
    order = order_frames(found.images)
    _require_listed_length(root, found, name, len(order.paths))
    annotations = _drop_empty_file(root, found.annotations)
    only = annotations.get(ONLY_TARGET)
    notes: tuple[str, ...] = ()
    if only is not None and len(annotations) == 1:
        if is_mot_file(root / only):
            return _read_mot_sequence(root, found, name, target, order)
        chosen = only
    else:
        chosen, notes = _choose_annotation(root, found, annotations, target)
    paths = [root / path for path in order.paths]
    content = read_annotation(root / chosen, read_image_size(paths[0]))
    require_equal_counts(name, len(paths), len(content.boxes), _explain_count(order, len(content.boxes)))
    # after the comparison with the boxes, whose message names the frame that is missing
    gap_note = require_no_gap(order, name)
    visible = has_area(content.boxes) & ~_read_hidden(root, found, len(paths))
    region_note = REGION_NOTES.get(content.kind)
    notes += tuple(note for note in (region_note, gap_note) if note)
    return ReadSequence(Video(name, paths, content.boxes, visible), only is None, notes)


def read_image_size(path: Path) -> tuple[int, int] | None:
    """Return width and height of an image as it is shown, or ``None`` if it cannot be read: decoding reports that.

    Args:
        path: the image.
    """
    try:
        with open_header(path) as image:
            # Pillow gives the size of a TIFF as it is shown
            is_turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION_TAG, 1) >= _FIRST_TURNED
            return (image.height, image.width) if is_turned else (image.width, image.height)
    except HEADER_ERRORS:
        return None


def _drop_empty_file(root: Path, annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the annotations without the empty ones beside others, as two folders of OTB have them."""
    filled = {target: path for target, path in annotations.items() if read_bytes(root / path).strip()}
    # if all are empty, the reader says so
    return filled or dict(annotations)


def _choose_annotation(
    root: Path, found: FoundSequence, annotations: Mapping[str, str], target: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the annotation of the chosen target, and a note.

    Raises:
        DataError: there are several and none was chosen; or one with and one without a number.
    """
    if ONLY_TARGET in annotations:
        first, second = annotations[ONLY_TARGET], next(path for key, path in annotations.items() if key)
        raise DataError(f"{first} has no number of a target and {second} has one; leave one out with --exclude")
    counts = {key: len(decode_lines(read_bytes(root / path), root / path)) for key, path in annotations.items()}
    key = choose_target(counts, target, str(root / found.folder))
    note = f"target {key}, one of {len(counts)}" if len(counts) > 1 else ""
    return annotations[key], (note,) if note else ()


def _read_mot_sequence(
    root: Path, found: FoundSequence, name: str, target: str | None, order: FrameOrder
) -> ReadSequence:
    """Read one target of MOT. The sequence begins where it first appears; frames without it have no box.

    Raises:
        DataError: no target was chosen, or a row belongs to no frame.
    """
    path = root / found.annotations[ONLY_TARGET]
    tracks = read_mot_tracks(path, read_image_size(root / order.paths[0]))
    key = choose_target({number: len(track.frames) for number, track in tracks.items()}, target, str(path))
    track = tracks[key]
    gap_note = require_no_gap(order, name)
    listed = [int(number) for each in tracks.values() for number in each.frames]
    places = match_frames(listed, order.numbers, len(order.paths), path)
    boxes, visible = np.full((len(order.paths), 4), np.nan), np.zeros(len(order.paths), np.bool_)
    rows = [places[int(number)] for number in track.frames]
    boxes[rows], visible[rows] = track.boxes, track.visible
    # a tracker is told where the target is in the first frame, so the sequence must begin where it can be seen
    start = _find_first_shown(boxes, visible, path, key)
    video = Video(
        name, [root / each for each in order.paths[start:]], boxes[start:], (visible & has_area(boxes))[start:]
    )
    begins = f", from its first frame {PurePosixPath(order.paths[start]).name} on" if start else ""
    notes = (f"target {key}, one of {len(tracks)}{begins}", *((gap_note,) if gap_note else ()))
    return ReadSequence(video, True, notes)


def _find_first_shown(boxes: FloatArray, visible: BoolArray, path: Path, key: str) -> int:
    """Return the first frame in which a target can be seen.

    Raises:
        DataError: there is none.
    """
    shown = np.flatnonzero(visible & has_area(boxes))
    if not shown.size:
        raise DataError(f"{path}: target {key} can be seen in no frame; choose another one with --target")
    return int(shown[0])


def _read_hidden(root: Path, found: FoundSequence, frames: int) -> BoolArray:
    """Return in which frames label files say that the target cannot be seen; frames without a box come on top."""
    hidden = np.zeros(frames, np.bool_)
    for name, path in found.labels.items():
        if name in HIDDEN_LABEL_FILES:
            hidden |= read_flag_file(root / path, frames)
        elif name == COVER_FILE:
            hidden |= read_label_file(root / path, frames) <= 0
    return hidden


def _explain_count(order: FrameOrder, boxes: int) -> str:
    """Return a hint why there are not as many boxes as frames; empty if there is none."""
    if boxes == 1:
        return " (the first one only, as in test sets whose ground truth is on a server)"
    return describe_missing_frame(order) if len(order.paths) < boxes else ""


def _require_listed_length(root: Path, found: FoundSequence, name: str, frames: int) -> None:
    """Require that a sequence of MOT has as many frames as its ``seqinfo.ini`` says.

    Raises:
        DataError: it has more or fewer.
    """
    info = next((path for path in found.side_files if path.endswith(SEQUENCE_INFO_FILE)), None)
    if info is None:
        return
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string("\n".join(decode_lines(read_bytes(root / info), root / info)))
        length = parser.getint("Sequence", "seqLength", fallback=frames)
    except (configparser.Error, ValueError) as error:
        raise DataError(
            f"{root / info} is not a description of a sequence ({type(error).__name__}); fetch it again, or leave it "
            f"out with {format_exclusion(info)}"
        ) from error
    if length != frames:
        raise DataError(f"sequence {name} has {frames} frames, {root / info} says {length}; fetch the sequence again")
