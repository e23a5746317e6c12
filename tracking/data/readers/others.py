"""Read the training sets that are used in addition to LaSOT: GOT-10k, TrackingNet, and the single images of COCO."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from foundation.errors import DataError
from foundation.run_scope import memoize_in_run
from tracking.data.box_files import read_box_file, read_flag_file, read_label_file
from tracking.data.boxes import FloatArray, has_area
from tracking.data.readers.got10k_splits import WHOLE_GOT10K, Got10kChoice, select_split_names
from tracking.data.readers.sequence import (
    NumberedFiles,
    Video,
    read_text,
)

COCO_ANNOTATION, COCO_IMAGES = "annotations/instances_train2017.json", "train2017"
COCO_IMAGE_FOLDERS = (COCO_IMAGES, f"images/{COCO_IMAGES}")
"""Where COCO's training images can be: as they are unpacked, and as OSTrack keeps them."""

MIN_COCO_SIDE = 50
"""A COCO box must be wider and higher than this number of pixels, as in the code from which OSTrack took its reader."""


@memoize_in_run
def read_got10k_videos(root: Path, choice: Got10kChoice = WHOLE_GOT10K) -> list[Video]:
    """Read the training split of GOT-10k: ``train/list.txt`` and one folder per sequence.

    Args:
        root: folder that holds ``train``.
        choice: which of its sequences are used.

    Raises:
        DataError: a file is missing or damaged; the message names it and says how to fix it.
    """
    # frames are numbered 1, 2, .. without gaps, one per box
    names = read_text(root / "train" / "list.txt").split()
    left_out = set(read_text(choice.excluded).split()) if choice.excluded else set()
    # a name that does not exist points to a wrong file, with which nothing would be excluded
    unknown = sorted(left_out - set(names))
    if unknown:
        raise DataError(
            f"{choice.excluded} excludes {unknown[0]}, which is not in GOT-10k's list; set got10k_exclude to another "
            "file"
        )
    videos = []
    for name in select_split_names(names, choice, root):
        if name in left_out:
            continue
        folder = root / "train" / name
        boxes = read_box_file(folder / "groundtruth.txt", allow_nan=True)
        seen = ~read_flag_file(folder / "absence.label", len(boxes))
        # cover is the visible fraction in eighths, from 0 to 8
        seen &= read_label_file(folder / "cover.label", len(boxes)) > 0
        videos.append(Video(name, NumberedFiles(folder, "{:08d}.jpg", len(boxes)), boxes, seen & has_area(boxes)))
    return videos


@memoize_in_run
def read_trackingnet_videos(root: Path) -> list[Video]:
    """Read the training split of TrackingNet.

    Boxes are in ``TRAIN_n/anno/<sequence>.txt`` and frames in ``TRAIN_n/frames/<sequence>/0.jpg ...``.

    Args:
        root: folder that holds ``TRAIN_0`` to ``TRAIN_11``.

    Raises:
        DataError: a file is missing or damaged; the message names it and says how to fix it.
    """
    files = sorted(root.glob("TRAIN_*/anno/[!.]*.txt"))
    if not files:
        raise DataError(f"{root} has no TRAIN_0/anno/*.txt; it should hold TrackingNet's folders TRAIN_0 to TRAIN_11")
    videos = []
    for path in files:
        boxes = read_box_file(path, allow_nan=True)
        # folders are not listed, since there are 30,000 of them; a missing frame is reported when it is read
        frames = NumberedFiles(path.parent.parent / "frames" / path.stem, "{}.jpg", len(boxes), first=0)
        videos.append(Video(path.stem, frames, boxes, has_area(boxes)))
    return videos


class StillImages(Sequence[Video]):
    """Boxes in single images, each as a sequence of one frame.

    The sequences are created on access, as there are hundreds of thousands of boxes.

    Args:
        folder: folder of the images.
        file_names: names of the image files.
        image_indices: index of the image of each box.
        boxes: x, y, width, height in pixels, shape (boxes, 4).
    """

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


@memoize_in_run
def read_coco_stills(root: Path) -> StillImages:
    """Read COCO's training objects of 2017, without crowds and without objects of up to 50 px in width or height.

    Args:
        root: folder that holds ``annotations``, and ``train2017`` or ``images/train2017``.

    Raises:
        DataError: the file of annotations is missing or damaged, or has no such object; or there are two different
            folders of images.
    """
    path = root / COCO_ANNOTATION
    try:
        content = json.loads(read_text(path))
        names = {image["id"]: image["file_name"] for image in content["images"]}
        chosen = [
            (each["image_id"], each["bbox"])
            for each in content["annotations"]
            if not each["iscrowd"] and min(each["bbox"][2:]) > MIN_COCO_SIDE
        ]
        boxes = np.array([box for _, box in chosen], np.float64)
        # image ids to indices, which take less memory than one file name per box
        places = {number: place for place, number in enumerate(names)}
        indices = [places[number] for number, _ in chosen]
        if not (np.isfinite(boxes).all() and all(isinstance(name, str) for name in names.values())):
            raise ValueError("a box is not finite, or a name is not text")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not COCO's file of instances ({type(error).__name__}: {error}); download it again"
        ) from error
    if not chosen:
        raise DataError(
            f"{path} has no object wider and higher than {MIN_COCO_SIDE} px, so it is not complete; download it again"
        )
    files = list(names.values())
    folder = _find_coco_images(root, [files[index] for index in np.unique(indices)])
    return StillImages(folder, files, indices, boxes)


def _find_coco_images(root: Path, names: Sequence[str]) -> Path:
    """Return the folder of COCO's training images. Two of them must hold the same files, of which the first is used.

    Args:
        root: folder of COCO.
        names: the images that are used.

    Raises:
        DataError: the two folders differ.
    """
    # a complete set beside a cut one would otherwise be taken or not by the order of the names
    folders = [root / place for place in COCO_IMAGE_FOLDERS if (root / place).is_dir()]
    if len(folders) == 2 and not folders[0].samefile(folders[1]):
        sizes = [_list_file_sizes(folder) for folder in folders]
        different = next((name for name in names if sizes[0].get(name) != sizes[1].get(name)), None)
        if different is not None:
            raise DataError(
                f"{folders[0]} and {folders[1]} are different sets of images, for example in {different}; keep the "
                "complete one and move the other away"
            )
    # if there is none, the first missing image is named when the images are hashed
    return folders[0] if folders else root / COCO_IMAGES


def _list_file_sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file of a folder by its name; one call, as there are 118,287 images."""
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries}
