"""Find the frames of the public test sets as they ship; where their boxes are, ``tracking.scoring.layouts`` knows.

The frame ranges of OTB100 are those of its toolkit's lists (as in pytracking's and got10k's readers): four of its
folders begin later than at frame 1, and five have frames without a box. UAV123 shows several targets of one folder in
ranges of its frames, of which the got10k package has the official list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foundation.errors import DataError
from tracking.data.readers import lasot
from tracking.data.readers.folder import list_image_files
from tracking.data.readers.sequence import FrameFiles, NumberedFiles
from tracking.data.readers.zips import ZippedSequence, read_zip_contents
from tracking.data.sequence_folders.frame_order import order_frames, require_no_gap

OTB_FRAME_RANGES: Mapping[str, tuple[int, int]] = {
    "BlurCar1": (247, 988),
    "BlurCar3": (3, 359),
    "BlurCar4": (18, 397),
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
}
"""First and last frame, by their numbers, of the videos of OTB100 that are not used from frame 1 to the last image."""

FrameFinder = Callable[[Path, str, Any, int], FrameFiles]
"""Returns the frames of a sequence, given the folder of the set, the sequence's name, the place of its annotation (what
``PublicTestSet.find_annotations`` found) and its number of boxes."""


def find_lasot_frames(folder: Path, name: str, place: Path | ZippedSequence, num_boxes: int) -> FrameFiles:
    """Return the frames of a sequence in LaSOT's layout: ``img/%08d.jpg``, in its folder or in a zip.

    Args:
        folder: folder of the set.
        name: name of the sequence.
        place: its ground-truth file, or the zipped sequence; not used.
        num_boxes: number of its boxes; not used, as the reader compares them.

    Raises:
        DataError: a frame is missing, or frames and boxes differ in number.
    """
    # the zips are read once per run, and the boxes are compared with the frames there
    return lasot.read_lasot_video(folder, name, read_zip_contents(folder)).frames


def find_got10k_frames(folder: Path, name: str, place: Path, num_boxes: int) -> FrameFiles:
    """Return the frames of a sequence of GOT-10k, ``<sequence>/%08d.jpg``, numbered from 1.

    Args:
        folder: folder of the split.
        name: name of the sequence.
        place: its ground-truth file.
        num_boxes: number of its boxes; not used, since the test split has one box for each sequence.

    Raises:
        DataError: a frame is missing between the others.
    """
    return _list_numbered(place.parent, name, "{:08d}.jpg", first=1)


def find_trackingnet_frames(folder: Path, name: str, place: Path, num_boxes: int) -> FrameFiles:
    """Return the frames of a sequence of TrackingNet, ``frames/<sequence>/0.jpg`` and so on.

    Args:
        folder: the folder ``TEST``.
        name: name of the sequence.
        place: its annotation file; not used.
        num_boxes: number of its boxes; not used, since the test split has one box for each sequence.

    Raises:
        DataError: a frame is missing between the others.
    """
    archive = folder / "zips" / f"{name}.zip"
    if archive.is_file() and not (folder / "frames" / name).is_dir():
        raise DataError(
            f"the frames of sequence {name} are still packed; unpack {archive} to {folder / 'frames' / name}"
        )
    return _list_numbered(folder / "frames" / name, name, "{}.jpg", first=0)


def find_otb_frames(folder: Path, name: str, place: Path, num_boxes: int) -> FrameFiles:
    """Return the frames of a target of OTB100: the images in ``img``, of some videos only a range.

    Args:
        folder: folder of the set; not used.
        name: name of the target, ``Jogging.1`` for the first of two in one video.
        place: its ground-truth file, next to the folder ``img``.
        num_boxes: number of its boxes; not used.

    Raises:
        DataError: there is no folder ``img``.
    """
    if not (place.parent / "img").is_dir():
        raise DataError(f"sequence {name} has no folder {place.parent / 'img'} with its frames; fetch it again")
    # sorted by number: most names have four digits, Board's have five
    frames = list_image_files(place.parent)
    first, last = OTB_FRAME_RANGES.get(re.sub(r"\.[12]$", "", name), (None, None))
    if first is None or last is None:
        return frames
    # by the numbers in the names and not by position, so that surplus images at the beginning shift nothing
    return [path for path in frames if path.stem.isdecimal() and first <= int(path.stem) <= last]


def find_uav123_frames(folder: Path, name: str, place: Path, num_boxes: int) -> FrameFiles:
    """Return the frames of a sequence of UAV123: a range of the images in ``data_seq/UAV123/<video>``.

    Args:
        folder: folder of the set.
        name: name of the sequence.
        place: its annotation file; not used.
        num_boxes: number of its boxes; not used.

    Raises:
        DataError: the first or the last frame of the range is missing.
    """
    meta = _read_uav123_ranges()[name]
    first, last = int(meta["start_frame"]), int(meta["end_frame"])
    images = folder / "data_seq" / "UAV123" / str(meta["folder_name"])
    # the ends tell whether the range is there; a gap between them is found when the frames are hashed
    for number in (first, last):
        if not (images / f"{number:06d}.jpg").is_file():
            raise DataError(
                f"the frame {images / f'{number:06d}.jpg'} of sequence {name} is missing; fetch the sequence again"
            )
    return NumberedFiles(images, "{:06d}.jpg", last - first + 1, first)


def find_nfs_frames(folder: Path, name: str, place: Path, num_boxes: int) -> FrameFiles:
    """Return the frames of a sequence of NfS at 30 fps, ``<sequence>/30/<sequence>/*.jpg``.

    Some sequences have one image more than boxes, which is left out as in got10k.

    Args:
        folder: folder of the set; not used.
        name: name of the sequence.
        place: its annotation file.
        num_boxes: number of its boxes at 30 fps.

    Raises:
        DataError: there is no folder of images, or an image is missing between others.
    """
    images = place.with_suffix("")
    if not images.is_dir():
        raise DataError(f"sequence {name} has no folder {images} with its frames; fetch it again")
    frames = list_image_files(images, {".jpg"})
    # of a sequence with a surplus image, one that is lost in the middle would leave as many frames as boxes
    require_no_gap(order_frames([str(path) for path in frames]), name)
    # more than one is a damaged sequence, which the comparison with the boxes reports
    return frames[:num_boxes] if len(frames) == num_boxes + 1 else frames


FRAME_FINDERS: Mapping[str, FrameFinder] = {
    "lasot_ext": find_lasot_frames,
    "got10k_val": find_got10k_frames,
    "got10k_test": find_got10k_frames,
    "trackingnet": find_trackingnet_frames,
    "otb100": find_otb_frames,
    "uav123": find_uav123_frames,
    "nfs": find_nfs_frames,
}
"""The finder of each set, under the set's name in ``bench score``."""


def _list_numbered(folder: Path, name: str, pattern: str, first: int) -> NumberedFiles:
    """Return the numbered images of a folder after checking that none is missing between them.

    Raises:
        DataError: there is no folder, or a number is missing.
    """
    if not folder.is_dir():
        raise DataError(f"sequence {name} has no folder {folder} with its frames; fetch it again")
    # numbers and not names: a file such as 00000001.jpg would also be 1.jpg
    present = {int(path.stem) for path in folder.iterdir() if path.suffix == ".jpg" and path.stem.isdecimal()}
    # as many numbers as files, from the first one on: a number that is not there leaves a gap
    missing = next((number for number in range(first, first + len(present)) if number not in present), None)
    if missing is not None:
        raise DataError(f"the frame {folder / pattern.format(missing)} is missing; fetch sequence {name} again")
    return NumberedFiles(folder, pattern, len(present), first)


def _read_uav123_ranges() -> dict[str, dict[str, Any]]:
    """Read the frame ranges that ship with the got10k package, without importing the package."""
    spec = find_spec("got10k")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "uav123.json"
    ranges: dict[str, dict[str, Any]] = json.loads(path.read_text())["UAV123"]
    return ranges
