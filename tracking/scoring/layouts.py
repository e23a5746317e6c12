"""The layouts that tracking sets ship in: where their annotation lies and what its numbers mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from foundation.errors import DataError
from tracking.data.box_files import read_box_file, read_flag_file, read_label_file
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.readers.zips import FileLike, ZippedSequence, read_zip_contents
from tracking.scoring.score import SequenceGroundTruth

AnnotationPaths = dict[str, Path]

LASOT_ATTRIBUTES = ("IV", "POC", "DEF", "MB", "CM", "ROT", "BC", "VC", "SV", "FOC", "FM", "OV", "LR", "ARC")
"""In the order of the official toolkit's ``att/<sequence>.txt``."""


def list_no_sequences(folder: Path) -> tuple[str, ...]:
    """No list of the set's sequences is known."""
    return ()


def _zero_absent_mask(boxes: FloatArray) -> BoolArray:
    return np.zeros(len(boxes), dtype=bool)


def find_lasot_annotations(folder: Path, sequence_names: tuple[str, ...]) -> dict[str, Path | ZippedSequence]:
    """``<category>/<category>-<number>/groundtruth.txt``: those named, or all; what is not unpacked, from the zips."""
    if not sequence_names:
        unpacked = {path.parent.name: path for path in sorted(folder.glob("*/*/groundtruth.txt"))}
        return {**_find_zipped_sequences(folder), **unpacked}
    paths = {name: folder / name.rpartition("-")[0] / name / "groundtruth.txt" for name in sequence_names}
    found: dict[str, Path | ZippedSequence] = {name: path for name, path in paths.items() if path.is_file()}
    if len(found) < len(sequence_names):
        zipped = _find_zipped_sequences(folder)
        found |= {name: zipped[name] for name in sequence_names if name in zipped and name not in found}
    return found


def _find_zipped_sequences(folder: Path) -> dict[str, ZippedSequence]:
    """The sequences whose boxes are in zips; their frames need not be."""
    sequences = read_zip_contents(folder, include_frameless=True).sequences
    return {name: sequence for name, sequence in sequences.items() if "groundtruth.txt" in sequence.text_files}


def read_lasot_annotation(name: str, location: Path | ZippedSequence) -> SequenceGroundTruth:
    """Boxes, ``full_occlusion.txt`` or ``out_of_view.txt`` as absence, attributes from ``att/<name>.txt`` if there."""
    text: Callable[[str], FileLike]
    if isinstance(location, ZippedSequence):
        text, root = location.text_file, location.archive.parent
    else:
        text, root = location.with_name, location.parents[2]
    boxes = read_box_file(text("groundtruth.txt"))
    flags = [read_flag_file(text(f"{label}.txt"), len(boxes)) for label in ("full_occlusion", "out_of_view")]
    listing = root / "att" / f"{name}.txt"
    attributes: tuple[str, ...] = ()
    if listing.is_file():
        marks = read_flag_file(listing, len(LASOT_ATTRIBUTES))
        attributes = tuple(word for word, marked in zip(LASOT_ATTRIBUTES, marks, strict=True) if marked)
    return SequenceGroundTruth(name, boxes, flags[0] | flags[1], name.rpartition("-")[0], attributes)


def list_got10k_sequences(folder: Path) -> tuple[str, ...]:
    """The names in ``list.txt``."""
    listing = folder / "list.txt"
    return tuple(listing.read_text().split()) if listing.is_file() else ()


def find_got10k_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """``<sequence>/groundtruth.txt`` of the names listed."""
    return {
        name: folder / name / "groundtruth.txt"
        for name in sequence_names
        if (folder / name / "groundtruth.txt").is_file()
    }


def read_got10k_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Boxes; ``cover.label`` 0 is absent; image size from ``meta_info.ini``."""
    boxes = read_box_file(path)
    cover = read_label_file(path.with_name("cover.label"), len(boxes))
    meta = path.with_name("meta_info.ini")
    size = re.search(r"^resolution: *\(?(\d+), *(\d+)\)?", meta.read_text() if meta.is_file() else "", re.MULTILINE)
    if size is None:
        raise DataError(f"{meta} names no resolution, to which these rules clip; fetch the annotation again")
    return SequenceGroundTruth(name, boxes, cover <= 0, image_size=(float(size[1]), float(size[2])))


def list_otb_sequences(folder: Path) -> tuple[str, ...]:
    """The 100 targets of OTB100: two folders hold two."""
    from got10k.datasets.otb import OTB

    listed = vars(OTB)["_OTB__version_dict"]["tb100"]
    return tuple(name for folder in sorted(listed) for name in _list_otb_targets(folder))


def _list_otb_targets(folder: str) -> list[str]:
    return [f"{folder}.1", f"{folder}.2"] if folder in ("Jogging", "Skating2") else [folder]


def find_otb_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """``<sequence>/groundtruth_rect.txt``, ``groundtruth_rect.<n>.txt`` of several; empty ones are skipped."""
    found: AnnotationPaths = {}
    for sequence in dict.fromkeys(re.sub(r"\.[12]$", "", name) for name in sequence_names):
        files = [path for path in sorted((folder / sequence).glob("groundtruth*.txt")) if path.read_text().strip()]
        targets = _list_otb_targets(sequence)
        if len(files) not in (0, len(targets)):
            raise DataError(f"{folder / sequence} should hold {len(targets)} filled annotation files, not {len(files)}")
        found.update(zip(targets, files, strict=False))
    return found


def read_otb_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Boxes by comma, tab or spaces; nothing is marked absent."""
    boxes = read_box_file(path)
    return SequenceGroundTruth(name, boxes, _zero_absent_mask(boxes))


def find_uav123_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """``anno/UAV123/<sequence>.txt``."""
    paths = {name: folder / "anno" / "UAV123" / f"{name}.txt" for name in sequence_names}
    return {name: path for name, path in paths.items() if path.is_file()}


def read_uav123_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Boxes; a row of ``NaN`` is an absent target."""
    boxes = read_box_file(path, allow_nan=True)
    return SequenceGroundTruth(name, boxes, np.asarray(np.isnan(boxes).any(axis=1)))


def find_nfs_annotations(folder: Path, sequence_names: tuple[str, ...]) -> AnnotationPaths:
    """``<sequence>/30/<sequence>.txt``."""
    return {path.stem: path for path in sorted(folder.glob("*/30/*.txt"))}


def read_nfs_annotation(name: str, path: Path) -> SequenceGroundTruth:
    """Rows ``id x1 y1 x2 y2 frame ...`` at 240 fps, of which every eighth is a frame at 30 fps.

    Where the images are there, a row too many (by rounding) is left off, as got10k does.
    """
    corners = read_box_file(path, first_field=1)[::8]
    images = sum(1 for _ in path.with_suffix("").glob("*.jpg")) if path.with_suffix("").is_dir() else 0
    if images and abs(images - len(corners)) > 1:
        raise DataError(f"{path} has {len(corners)} boxes at 30 fps for {images} images")
    corners = corners[: images or None]
    boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    return SequenceGroundTruth(name, boxes, _zero_absent_mask(boxes))
