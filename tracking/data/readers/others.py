"""Training sets beside LaSOT: GOT-10k, TrackingNet, and COCO's single images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from foundation.errors import DataError
from tracking.data.box_files import read_box_file, read_flag_file, read_label_file
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import (
    NumberedFiles,
    Video,
    has_area,
    read_text,
)

MIN_COCO_SIDE = 50
"""A COCO box must be wider and higher than this many pixels, as in the code that OSTrack took its reader from."""


def read_got10k_videos(root: Path, excluded: Path | None = None) -> list[Video]:
    """GOT-10k's training split: ``train/list.txt`` and a folder a sequence.

    Args:
        root: holds ``train``.
        excluded: a file with names to leave out (the 1,000 that the VOT challenge forbids), one a line.

    Raises:
        DataError: naming the file and the mend.
    """
    names = read_text(root / "train" / "list.txt").split()
    left_out = set(read_text(excluded).split()) if excluded else set()
    unknown = sorted(left_out - set(names))
    if unknown:
        raise DataError(f"{excluded} excludes {unknown[0]}, which GOT-10k's list has not; is it the right file?")
    videos = []
    for name in names:
        if name in left_out:
            continue
        folder = root / "train" / name
        boxes = read_box_file(folder / "groundtruth.txt", allow_nan=True)
        seen = ~read_flag_file(folder / "absence.label", len(boxes))
        seen &= read_label_file(folder / "cover.label", len(boxes)) > 0
        videos.append(Video(name, NumberedFiles(folder, "{:08d}.jpg", len(boxes)), boxes, seen & has_area(boxes)))
    return videos


def read_trackingnet_videos(root: Path) -> list[Video]:
    """TrackingNet's training split: ``TRAIN_n/anno/*.txt`` and ``TRAIN_n/frames/<sequence>/0.jpg ...``.

    Raises:
        DataError: naming the file and the mend.
    """
    files = sorted(root.glob("TRAIN_*/anno/*.txt"))
    if not files:
        raise DataError(f"{root} has no TRAIN_0/anno/*.txt; it should hold TrackingNet's folders TRAIN_0 to TRAIN_11")
    videos = []
    for path in files:
        boxes = read_box_file(path, allow_nan=True)
        frames = NumberedFiles(path.parent.parent / "frames" / path.stem, "{}.jpg", len(boxes), first=0)
        videos.append(Video(path.stem, frames, boxes, has_area(boxes)))
    return videos


class StillImages(Sequence[Video]):
    """Boxes in single images, each a sequence of one frame, made when asked for."""

    def __init__(self, folder: Path, file_names: list[str], image_indices: list[int], boxes: FloatArray) -> None:
        self.folder, self.file_names, self.image_indices, self.boxes = (
            folder,
            file_names,
            np.array(image_indices, np.int64),
            boxes,
        )

    def __len__(self) -> int:
        return len(self.image_indices)

    @overload
    def __getitem__(self, index: int) -> Video: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Video]: ...

    def __getitem__(self, index: int | slice) -> Video | Sequence[Video]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        name = self.file_names[self.image_indices[index]]
        return Video(name, [self.folder / name], self.boxes[index : index + 1], np.ones(1, np.bool_))


def read_coco_stills(root: Path) -> StillImages:
    """COCO's training objects of 2017 that are no crowd and larger than 50 px both ways.

    Raises:
        DataError: naming the file and the mend.
    """
    path = root / "annotations" / "instances_train2017.json"
    try:
        content = json.loads(read_text(path))
        names = {image["id"]: image["file_name"] for image in content["images"]}
        chosen = [
            (each["image_id"], each["bbox"])
            for each in content["annotations"]
            if not each["iscrowd"] and min(each["bbox"][2:]) > MIN_COCO_SIDE
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not COCO's file of instances ({type(error).__name__}: {error})") from error
    if not chosen:
        raise DataError(f"{path} has no object larger than {MIN_COCO_SIDE} px both ways; is it the whole file?")
    places = {number: place for place, number in enumerate(names)}
    boxes = np.array([box for _, box in chosen], np.float64)
    return StillImages(root / "train2017", list(names.values()), [places[number] for number, _ in chosen], boxes)
