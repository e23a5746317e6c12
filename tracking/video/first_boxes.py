"""Find the boxes of the targets in the first frame: given, chosen with the mouse, or from a folder's annotation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.progress_bar import log_message
from foundation.errors import DataError, UserError
from foundation.plural import format_count
from tracking.data.boxes import BoxLike, FloatArray, has_area
from tracking.data.crops import ImageArray
from tracking.data.readers.folder import GROUND_TRUTH_FILE
from tracking.data.sequence_folders.annotations import read_annotation
from tracking.data.sequence_folders.find_sequences import ONLY_TARGET
from tracking.data.sequence_folders.layout_names import find_target
from tracking.data.sequence_folders.mot_rows import is_mot_file
from tracking.data.sequence_folders.read_sequence import read_image_size
from tracking.video.frame_folder import order_frame_files
from tracking.video.frame_source import FrameSource
from tracking.video.request import SELECT, InitBox
from tracking.video.select_box import find_screen_size, select_box
from tracking.video.target_track import StartChooser, TargetStart

GIVE_BOX = "give it with --init x,y,w,h: left and top edge, width and height in pixels (any image viewer shows them)"
LARGEST_SHARE = 3
"""Largest side of a given box, in sides of the frame: a target may reach beyond the frame, but not that far."""


def resolve_starts(
    init_boxes: Sequence[InitBox], lost_thresholds: Sequence[float], source: FrameSource
) -> StartChooser:
    """Return a function that names the targets when it sees the first frame.

    Args:
        init_boxes: a box, or ``select``, for each target; empty: the box of a folder's annotation.
        lost_thresholds: one for each target.
        source: the source of the frames.

    Raises:
        DataError: the annotation cannot be read.
        UserError: there is no box, or one is to be chosen and no window can be opened.
    """
    if not init_boxes:
        (threshold,) = lost_thresholds
        start = _read_annotated_start(source, threshold)
        return lambda _: [start]
    # looked for now and not at the first frame, as loading the tracker in between takes longer
    screen_size = find_screen_size() if SELECT in init_boxes else None

    def choose(frame: ImageArray) -> list[TargetStart]:
        starts: list[TargetStart] = []
        for number, (init, threshold) in enumerate(zip(init_boxes, lost_thresholds, strict=True), 1):
            name = f"target {number} of {len(init_boxes)}" if len(init_boxes) > 1 else "the target"
            if isinstance(init, str):
                assert screen_size is not None  # as one is to be selected; for the type checker
                box: BoxLike = _select_start_box(frame, name, screen_size, starts)
                starts.append(TargetStart(box, f"--init {SELECT}", threshold))
            else:
                _require_plausible_box(init, frame, name if len(init_boxes) > 1 else "the first frame")
                starts.append(TargetStart(init, "--init", threshold))
        return starts

    return choose


def _select_start_box(
    frame: ImageArray, name: str, screen_size: tuple[int, int], earlier: Sequence[TargetStart]
) -> FloatArray:
    """Let the user choose the box of a target, and say how to give it without the window."""
    title = f"bench track - drag a box around {name}, then press Enter (Escape: cancel)"
    log_message(f"choose {name} in the window: drag a box around it, then press Enter (Escape: cancel)")
    box = select_box(frame, title, screen_size, [np.asarray(each.box, np.float64) for each in earlier])
    log_message(f"{name}: --init {','.join(f'{value:g}' for value in box.tolist())}")
    return box


def _require_plausible_box(box: Sequence[float], frame: ImageArray, name: str) -> None:
    """Check the size of a given box against the frame; whether it lies in it is checked where tracking starts.

    Raises:
        DataError: it is too large, or has less than a pixel.
    """
    height, width = frame.shape[:2]
    text = ",".join(f"{value:g}" for value in box)
    # numbers that are not finite and sides that are not positive have a message of their own
    if 0 < box[2] < 1 or 0 < box[3] < 1:
        hint = ""
        # tools for labels write fractions of the frame
        if all(0 <= value <= 1 for value in box):
            scaled = np.array(box) * [width, height, width, height]
            hint = f"; if these are parts of the frame's sides: --init {','.join(f'{value:g}' for value in scaled)}"
        raise DataError(f"--init {text} of {name} is smaller than a pixel; give the box in pixels{hint}")
    if np.isfinite(box).all() and (box[2] > LARGEST_SHARE * width or box[3] > LARGEST_SHARE * height):
        raise DataError(
            f"--init {text} of {name} is far larger than the frame of {width} x {height} px; give x,y,w,h: left and "
            "top edge, width and height in pixels"
        )


def _read_annotated_start(source: FrameSource, lost_threshold: float) -> TargetStart:
    """Return the box of the first frame from the annotation of a folder.

    Raises:
        DataError: the annotation cannot be read.
        UserError: there is none, or it has no box for that frame.
    """
    folder, at = Path(source.location), source.start_frame
    place = _find_annotation(folder) if source.kind == "folder" else None
    if place is None or is_mot_file(place):
        many = place or (_find_numbered(folder) if source.kind == "folder" else None)
        raise UserError(
            "the box of the target in the first frame is missing"
            + (f" ({many} has boxes of one of several targets, or of all, so none is taken)" if many else "")
            + f"; {GIVE_BOX}, or choose it in a window with --init select"
        )
    frames = order_frame_files(folder).paths
    try:
        # with the size of the frames, boxes that are corners are noticed
        boxes = read_annotation(place, read_image_size(Path(frames[0]))).boxes
    except DataError as error:
        raise DataError(f"{error}; or {GIVE_BOX}, and no annotation is opened") from error
    # the first box alone, as in test sets whose ground truth is on a server, is that of the first frame
    if len(boxes) not in (1, len(frames)):
        raise UserError(
            f"{place} has {format_count(len(boxes), 'line')} for {format_count(len(frames), 'image')}, so it does not "
            f"say which box is that of frame {at} (from 0); {GIVE_BOX}"
        )
    if at >= len(boxes):
        raise UserError(f"{place} has {format_count(len(boxes), 'line')}, none for frame {at} (from 0); {GIVE_BOX}")
    # a frame without a target has no box to start from
    if not has_area(boxes[at : at + 1]).all():
        raise UserError(
            f"{place}, line {at + 1}, has no target in that frame; begin at another with --start, or {GIVE_BOX}"
        )
    # a box that the user did not give is announced, as it may be of another target
    log_message(f"the first box is that of {place}, line {at + 1}")
    return TargetStart(boxes[at], f"{place.name}, line {at + 1}", lost_threshold)


def _find_numbered(folder: Path) -> Path | None:
    """Return a file with the boxes of several targets, or of one of several, in a folder."""
    inner = (folder / "gt" / "gt.txt", *sorted(folder.iterdir()))
    return next((path for path in inner if find_target(path.name) is not None and path.is_file()), None)


def _find_annotation(folder: Path) -> Path | None:
    """Return the annotation of a folder with one target, ``groundtruth.txt`` or as OTB and others call it.

    Raises:
        UserError: there are several.
    """
    # not only one of its name, so that a folder for which bench told the box before still does
    if (folder / GROUND_TRUTH_FILE).is_file():
        return folder / GROUND_TRUTH_FILE
    found = [path for path in sorted(folder.iterdir()) if find_target(path.name) == ONLY_TARGET and path.is_file()]
    if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1].name} could both have the box of the target; {GIVE_BOX}")
    return found[0] if found else None
