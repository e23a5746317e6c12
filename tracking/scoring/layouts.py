"""The layouts in which tracking sets ship: where their annotation is stored and what its numbers mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from foundation.errors import DataError
from foundation.text.user_text import read_user_text
from tracking.data.box_files import read_box_file, read_flag_file, read_label_file
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.readers.zips import FileLike, ZippedSequence, read_zip_contents
from tracking.scoring.ground_truth import SequenceGroundTruth

AnnotationPaths = dict[str, Path]

LASOT_ATTRIBUTES = ("IV", "POC", "DEF", "MB", "CM", "ROT", "BC", "VC", "SV", "FOC", "FM", "OV", "LR", "ARC")
"""The challenges of LaSOT, in the order of the official toolkit's ``att/<sequence>.txt``."""


def list_no_sequences(folder: Path) -> tuple[str, ...]:
    """Return an empty list: there is no official list of the set's sequences.

    Args:
        folder: folder of the set; not used.
    """
    return ()


def _zero_absent_mask(boxes: FloatArray) -> BoolArray:
    """Return flags that mark no frame as absent."""
    return np.zeros(len(boxes), dtype=bool)


def find_lasot_annotations(folder: Path, sequence_names: tuple[str, ...]) -> dict[str, Path | ZippedSequence]:
    """Find the annotation of LaSOT's sequences, in folders or zips.

    Args:
        folder: folder of the set, with ``<category>/<category>-<number>/groundtruth.txt``.
        sequence_names: names to look for; empty for all that are there.

    Returns:
        The ground-truth file or the zipped sequence, by name. An unpacked sequence is preferred.
    """
    if not sequence_names:
        unpacked = {path.parent.name: path for path in sorted(folder.glob("*/*/groundtruth.txt"))}
        return {**_find_zipped_sequences(folder), **unpacked}
    paths = {name: folder / name.rpartition("-")[0] / name / "groundtruth.txt" for name in sequence_names}
    found: dict[str, Path | ZippedSequence] = {name: path for name, path in paths.items() if path.is_file()}
    # zips are only read if something is not unpacked, since reading their directories takes half a minute
    if len(found) < len(sequence_names):
        zipped = _find_zipped_sequences(folder)
        found |= {name: zipped[name] for name in sequence_names if name in zipped and name not in found}
    return found


def _find_zipped_sequences(folder: Path) -> dict[str, ZippedSequence]:
    """Return the sequences with boxes in the zips of a folder; they may lack frames, which scoring does not need."""
    sequences = read_zip_contents(folder, include_frameless=True).sequences
    return {name: sequence for name, sequence in sequences.items() if "groundtruth.txt" in sequence.text_files}


def read_lasot_annotation(name: str, location: Path | ZippedSequence) -> SequenceGroundTruth:
    """Read a sequence of LaSOT. The target is absent if it is fully occluded or out of view.

    Args:
        name: name of the sequence.
        location: what ``find_lasot_annotations`` found.

    Raises:
        DataError: a file is missing or damaged.
    """
    text: Callable[[str], FileLike]
    # text(name) reads a file next to the ground truth; root is the folder of the set
    if isinstance(location, ZippedSequence):
        text, root = location.text_file, location.archive.parent
    else:
        text, root = location.with_name, location.parents[2]
    boxes = read_box_file(text("groundtruth.txt"))
    flags = [read_flag_file(text(f"{label}.txt"), len(boxes)) for label in ("full_occlusion", "out_of_view")]
    # attributes are not in the data set itself but in the evaluation toolkit, so they are optional
    listing = root / "att" / f"{name}.txt"
    attributes: tuple[str, ...] = ()
    if listing.is_file():
        marks = read_flag_file(listing, len(LASOT_ATTRIBUTES))
        attributes = tuple(word for word, marked in zip(LASOT_ATTRIBUTES, marks, strict=True) if marked)
    return SequenceGroundTruth(name, boxes, flags[0] | flags[1], name.rpartition("-")[0], attributes)


def list_got10k_sequences(folder: Path) -> tuple[str, ...]:
    """Return the names in ``list.txt``; without this file, those of the folders that are called as GOT-10k's sequences.

    Args:
        folder: folder of the split.
    """
    listing = folder / "list.txt"
    if listing.is_file():
        return tuple(read_user_text(listing).split())
    return tuple(sorted(path.parent.name for path in folder.glob("GOT-10k_*/groundtruth.txt")))


def find_got10k_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """Find ``<sequence>/groundtruth.txt`` of the listed sequences.

    Args:
        folder: folder of the split.
        sequence_names: names to look for.
    """
    return {
        name: folder / name / "groundtruth.txt"
        for name in sequence_names
        if (folder / name / "groundtruth.txt").is_file()
    }


def read_got10k_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Read a sequence of GOT-10k. The target is absent if ``cover.label`` is 0.

    Args:
        name: name of the sequence.
        path: its ground-truth file.

    Raises:
        DataError: a file is missing or damaged, or ``meta_info.ini`` has no image size.
    """
    boxes = read_box_file(path)
    cover = read_label_file(path.with_name("cover.label"), len(boxes))
    meta = path.with_name("meta_info.ini")
    # a line such as "resolution: (1920, 1080)"
    size = re.search(r"^resolution: *\(?(\d+), *(\d+)\)?", read_user_text(meta) if meta.is_file() else "", re.MULTILINE)
    if size is None:
        raise DataError(f"{meta} has no resolution, to which these rules clip boxes; fetch the annotation again")
    return SequenceGroundTruth(name, boxes, cover <= 0, image_size=(float(size[1]), float(size[2])))


def list_otb_sequences(folder: Path) -> tuple[str, ...]:
    """Return the names of the 100 targets of OTB100. Two of its folders have two targets each.

    Args:
        folder: folder of the set; not used.
    """
    from got10k.datasets.otb import OTB

    # a private attribute of got10k's class, under its mangled name
    listed = vars(OTB)["_OTB__version_dict"]["tb100"]
    return tuple(name for folder in sorted(listed) for name in _list_otb_targets(folder))


def _list_otb_targets(folder: str) -> list[str]:
    """Return the names of the targets in a folder of OTB."""
    return [f"{folder}.1", f"{folder}.2"] if folder in ("Jogging", "Skating2") else [folder]


def find_otb_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """Find ``<sequence>/groundtruth_rect.txt``, or ``groundtruth_rect.<n>.txt`` in a folder with several targets.

    Args:
        folder: folder of the set.
        sequence_names: names of targets to look for.

    Raises:
        DataError: a folder has more or fewer annotation files than targets.
    """
    found: AnnotationPaths = {}
    for sequence in dict.fromkeys(re.sub(r"\.[12]$", "", name) for name in sequence_names):
        # an archive of one video can put a second folder of its name around it
        outer = folder / sequence
        home = outer / sequence if any((outer / sequence).glob("groundtruth*.txt")) else outer
        # some folders also have an empty groundtruth_rect.txt
        files = [path for path in sorted(home.glob("groundtruth*.txt")) if path.read_bytes().strip()]
        targets = _list_otb_targets(sequence)
        if len(files) not in (0, len(targets)):
            raise DataError(
                f"{home} has {len(files)} annotation files that are not empty and {len(targets)} targets; "
                "fetch the annotation again"
            )
        found.update(zip(targets, files, strict=False))
    return found


def read_otb_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Read a sequence of OTB. No frame is marked absent.

    Args:
        name: name of the target.
        path: its ground-truth file.

    Raises:
        DataError: the file is damaged.
    """
    boxes = read_box_file(path)
    return SequenceGroundTruth(name, boxes, _zero_absent_mask(boxes))


def find_uav123_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """Find ``anno/UAV123/<sequence>.txt`` of the listed sequences.

    Args:
        folder: folder of the set.
        sequence_names: names to look for.
    """
    paths = {name: folder / "anno" / "UAV123" / f"{name}.txt" for name in sequence_names}
    return {name: path for name, path in paths.items() if path.is_file()}


def read_uav123_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Read a sequence of UAV123. The target is absent if its box is ``NaN``.

    Args:
        name: name of the sequence.
        path: its ground-truth file.

    Raises:
        DataError: the file is damaged.
    """
    boxes = read_box_file(path, allow_nan=True)
    return SequenceGroundTruth(name, boxes, np.asarray(np.isnan(boxes).any(axis=1)))


def find_nfs_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """Find all files ``<sequence>/30/<sequence>.txt``.

    Args:
        folder: folder of the set.
        sequence_names: not used.
    """
    # not ._bird.txt, which a volume of macOS has beside it
    return {path.stem: path for path in sorted(folder.glob("*/30/[!.]*.txt"))}


def read_nfs_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Read a sequence of NfS at 30 fps.

    Rows are ``id x1 y1 x2 y2 frame ...`` at 240 fps, so every eighth row belongs to a frame at 30 fps. If the images
    are there, a surplus row at the end is dropped, as in got10k.

    Args:
        name: name of the sequence.
        path: its ground-truth file.

    Raises:
        DataError: the file is damaged, or the numbers of rows and images differ by more than one.
    """
    corners = read_box_file(path, first_field=1)[::8]
    images = sum(1 for _ in path.with_suffix("").glob("[!.]*.jpg")) if path.with_suffix("").is_dir() else 0
    if images and abs(images - len(corners)) > 1:
        raise DataError(f"{path} has {len(corners)} boxes at 30 fps for {images} images; fetch the sequence again")
    corners = corners[: images or None]
    # corners x1, y1, x2, y2 to x, y, width, height
    boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    return SequenceGroundTruth(name, boxes, _zero_absent_mask(boxes))
