"""The layouts that tracking sets ship in: where their annotation lies and what its numbers mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from foundation.errors import DataError
from tracking.data.readers.zips import File, ZippedSequence, contents
from tracking.scoring.boxes import read_boxes, read_flags, read_labels
from tracking.scoring.metrics import Array, Mask
from tracking.scoring.score import GroundTruth

Found = dict[str, Path]

LASOT_ATTRIBUTES = ("IV", "POC", "DEF", "MB", "CM", "ROT", "BC", "VC", "SV", "FOC", "FM", "OV", "LR", "ARC")
"""In the order of the official toolkit's ``att/<sequence>.txt``."""


def no_names(folder: Path) -> tuple[str, ...]:
    """No list of the set's sequences is known."""
    return ()


def _nothing_absent(boxes: Array) -> Mask:
    return np.zeros(len(boxes), dtype=bool)


def find_lasot(folder: Path, names: tuple[str, ...]) -> dict[str, Path | ZippedSequence]:
    """``<category>/<category>-<number>/groundtruth.txt``: those named, or all; what is not unpacked, from the zips."""
    if not names:
        unpacked = {path.parent.name: path for path in sorted(folder.glob("*/*/groundtruth.txt"))}
        return {**_zipped(folder), **unpacked}
    paths = {name: folder / name.rpartition("-")[0] / name / "groundtruth.txt" for name in names}
    found: dict[str, Path | ZippedSequence] = {name: path for name, path in paths.items() if path.is_file()}
    if len(found) < len(names):
        zipped = _zipped(folder)
        found |= {name: zipped[name] for name in names if name in zipped and name not in found}
    return found


def _zipped(folder: Path) -> dict[str, ZippedSequence]:
    """The sequences whose boxes are in zips; their frames need not be."""
    sequences = contents(folder, frameless=True).sequences
    return {name: sequence for name, sequence in sequences.items() if "groundtruth.txt" in sequence.texts}


def read_lasot(name: str, where: Path | ZippedSequence) -> GroundTruth:
    """Boxes, ``full_occlusion.txt`` or ``out_of_view.txt`` as absence, attributes from ``att/<name>.txt`` if there."""
    text: Callable[[str], File]
    if isinstance(where, ZippedSequence):
        text, root = where.text, where.archive.parent
    else:
        text, root = where.with_name, where.parents[2]
    boxes = read_boxes(text("groundtruth.txt"))
    flags = [read_flags(text(f"{label}.txt"), len(boxes)) for label in ("full_occlusion", "out_of_view")]
    listing = root / "att" / f"{name}.txt"
    attributes: tuple[str, ...] = ()
    if listing.is_file():
        marks = read_flags(listing, len(LASOT_ATTRIBUTES))
        attributes = tuple(word for word, marked in zip(LASOT_ATTRIBUTES, marks, strict=True) if marked)
    return GroundTruth(name, boxes, flags[0] | flags[1], name.rpartition("-")[0], attributes)


def got10k_names(folder: Path) -> tuple[str, ...]:
    """The names in ``list.txt``."""
    listing = folder / "list.txt"
    return tuple(listing.read_text().split()) if listing.is_file() else ()


def find_got10k(folder: Path, names: tuple[str, ...]) -> Found:
    """``<sequence>/groundtruth.txt`` of the names listed."""
    return {name: folder / name / "groundtruth.txt" for name in names if (folder / name / "groundtruth.txt").is_file()}


def read_got10k(name: str, path: Path) -> GroundTruth:
    """Boxes; ``cover.label`` 0 is absent; image size from ``meta_info.ini``."""
    boxes = read_boxes(path)
    cover = read_labels(path.with_name("cover.label"), len(boxes))
    meta = path.with_name("meta_info.ini")
    size = re.search(r"^resolution: *\(?(\d+), *(\d+)\)?", meta.read_text() if meta.is_file() else "", re.MULTILINE)
    if size is None:
        raise DataError(f"{meta} names no resolution, to which these rules clip; fetch the annotation again")
    return GroundTruth(name, boxes, cover <= 0, size=(float(size[1]), float(size[2])))


def otb_names(folder: Path) -> tuple[str, ...]:
    """The 100 targets of OTB100: two folders hold two."""
    from got10k.datasets.otb import OTB

    listed = vars(OTB)["_OTB__version_dict"]["tb100"]
    return tuple(name for folder in sorted(listed) for name in _targets(folder))


def _targets(folder: str) -> list[str]:
    return [f"{folder}.1", f"{folder}.2"] if folder in ("Jogging", "Skating2") else [folder]


def find_otb(folder: Path, names: tuple[str, ...]) -> Found:
    """``<sequence>/groundtruth_rect.txt``, ``groundtruth_rect.<n>.txt`` of several; empty ones are skipped."""
    found: Found = {}
    for sequence in dict.fromkeys(re.sub(r"\.[12]$", "", name) for name in names):
        files = [path for path in sorted((folder / sequence).glob("groundtruth*.txt")) if path.read_text().strip()]
        targets = _targets(sequence)
        if len(files) not in (0, len(targets)):
            raise DataError(f"{folder / sequence} should hold {len(targets)} filled annotation files, not {len(files)}")
        found.update(zip(targets, files, strict=False))
    return found


def read_otb(name: str, path: Path) -> GroundTruth:
    """Boxes by comma, tab or spaces; nothing is marked absent."""
    boxes = read_boxes(path)
    return GroundTruth(name, boxes, _nothing_absent(boxes))


def find_uav123(folder: Path, names: tuple[str, ...]) -> Found:
    """``anno/UAV123/<sequence>.txt``."""
    paths = {name: folder / "anno" / "UAV123" / f"{name}.txt" for name in names}
    return {name: path for name, path in paths.items() if path.is_file()}


def read_uav123(name: str, path: Path) -> GroundTruth:
    """Boxes; a row of ``NaN`` is an absent target."""
    boxes = read_boxes(path, allow_nan=True)
    return GroundTruth(name, boxes, np.asarray(np.isnan(boxes).any(axis=1)))


def find_nfs(folder: Path, names: tuple[str, ...]) -> Found:
    """``<sequence>/30/<sequence>.txt``."""
    return {path.stem: path for path in sorted(folder.glob("*/30/*.txt"))}


def read_nfs(name: str, path: Path) -> GroundTruth:
    """Rows ``id x1 y1 x2 y2 frame ...`` at 240 fps, of which every eighth is a frame at 30 fps.

    Where the images are there, a row too many (by rounding) is left off, as got10k does.
    """
    rows = [line.split()[1:5] for line in path.read_text().splitlines() if line.strip()]
    try:
        corners = np.array(rows, dtype=np.float64).reshape(len(rows), 4)[::8]
    except ValueError as error:
        raise DataError(f"{path} should hold lines of id x1 y1 x2 y2 frame ... ({error})") from error
    images = sum(1 for _ in path.with_suffix("").glob("*.jpg")) if path.with_suffix("").is_dir() else 0
    if images and abs(images - len(corners)) > 1:
        raise DataError(f"{path} has {len(corners)} boxes at 30 fps for {images} images")
    corners = corners[: images or None]
    boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    return GroundTruth(name, boxes, _nothing_absent(boxes))
