"""Where the pairs of image and label files are, on disk as the sets are shipped. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from foundation.errors import DataError
from foundation.files import sha256_file
from segmentation.data.labels import MAX_CLASSES, LabelSpace

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class ImageLabelPair(NamedTuple):
    """One image with its label file; ``name`` is what both files are called without ending."""

    name: str
    image_path: Path
    label_path: Path


@dataclass(frozen=True)
class SegmentationDataset:
    """A data set as found: its splits (``train``, ``test``, and ``val`` where there is one) and its label space."""

    name: str
    root: Path
    splits: Mapping[str, Sequence[ImageLabelPair]]
    label_space: LabelSpace

    def compute_fingerprint(self) -> str:
        """SHA-256 over splits, names and the content of every file."""
        files = [path for pairs in self.splits.values() for pair in pairs for path in pair[1:]]
        with ThreadPoolExecutor(4) as pool:  # hashing lets other threads run
            sums = dict(zip(files, pool.map(sha256_file, files), strict=True))
        digest = hashlib.sha256(repr(self.label_space.make_lookup_table()).encode())
        for split, pairs in sorted(self.splits.items()):
            for pair in pairs:
                digest.update(f"{split} {pair.name} {sums[pair.image_path]} {sums[pair.label_path]}\n".encode())
        return digest.hexdigest()


def find_dataset_folder(root: Path, candidates: Sequence[str], dataset_name: str) -> Path:
    """The first of ``candidates`` below ``root`` that is a folder.

    Raises:
        DataError: none is; says what was looked for and what was found.
    """
    for place in candidates:
        if (root / place).is_dir():
            return root / place
    found = "there is no such folder"
    if root.is_dir():
        inside = sorted(path.name for path in root.iterdir())
        found = f"it holds {', '.join(inside[:6])}{' ...' if len(inside) > 6 else ''}" if inside else "it is empty"
    looked = " or ".join(dict.fromkeys(place.split("/")[0] for place in candidates))
    raise DataError(
        f"no {dataset_name} under {root}: looked for {looked}, but {found}; name the folder above with --data-root"
    )


def pair_label_files(image_folder: Path, label_folder: Path) -> list[ImageLabelPair]:
    """Every image with the label PNG of its name, in the order of names.

    Raises:
        DataError: a folder is missing or empty, or a file has no partner.
    """
    found = {}
    for folder, endings in ((image_folder, IMAGE_SUFFIXES), (label_folder, (".png",))):
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; fetch the set anew, or name its place with --data-root")
        found[folder] = _index_by_stem(folder, endings)
        if not found[folder]:
            kinds = ", ".join(endings)
            raise DataError(f"{folder} holds no files ({kinds}), so this split is empty; fetch the set anew")
    alone = sorted(found[image_folder].keys() ^ found[label_folder].keys())
    if alone:
        name = alone[0]
        more = f" ({len(alone)} files have no partner)" if len(alone) > 1 else ""
        if name in found[image_folder]:
            raise DataError(
                f"{found[image_folder][name]} has no annotation {label_folder / name}.png{more}; fetch it, "
                "or take the image away"
            )
        raise DataError(
            f"{found[label_folder][name]} has no image of that name in {image_folder}{more}; fetch it, "
            "or take the label away"
        )
    return [
        ImageLabelPair(name, found[image_folder][name], found[label_folder][name])
        for name in sorted(found[image_folder])
    ]


def _index_by_stem(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                raise DataError(f"{files[path.stem]} and {path} have one name; keep one of them")
            files[path.stem] = path
    return files


ADE20K_LABEL_SPACE = LabelSpace(num_classes=150, first_label=1, ignored_labels=(0,))
"""ADEChallengeData2016: 0 is "other objects" and never scored, 1..150 are the classes (mmseg's reduce_zero_label)."""


def read_ade20k(root: Path, dataset_name: str = "ade20k") -> SegmentationDataset:
    """ADEChallengeData2016 below ``root``; its validation split is what is reported, so it stands as ``test``."""
    places = ("ADEChallengeData2016", "ade20k/ADEChallengeData2016", "ade/ADEChallengeData2016")
    folder = find_dataset_folder(root, places, "ADE20K")
    splits = {
        split: pair_label_files(folder / "images" / theirs, folder / "annotations" / theirs)
        for split, theirs in (("train", "training"), ("test", "validation"))
    }
    return SegmentationDataset(dataset_name, folder, splits, ADE20K_LABEL_SPACE)


CAMVID_CLASSES = (
    *("sky", "building", "pole", "road", "sidewalk", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)


def read_camvid(root: Path) -> SegmentationDataset:
    """CamVid, 11 classes at 480 x 360, in the layout SegNet made usual: ``train`` beside ``trainannot`` ..."""
    folder = find_dataset_folder(root, ("CamVid", "camvid/CamVid", "camvid"), "CamVid")
    splits = {split: pair_label_files(folder / split, folder / f"{split}annot") for split in ("train", "val", "test")}
    return SegmentationDataset("camvid", folder, splits, LabelSpace(11, 0, (11,), CAMVID_CLASSES))


def read_segfolder(root: Path) -> SegmentationDataset:
    """A user's folder: ``classes.txt``, ``images/SPLIT`` and ``labels/SPLIT`` for train, test, and val if there is one.

    Label k is the class in line k of ``classes.txt``, counted from 0; 255 does not count.
    """
    list_file = root / "classes.txt"
    if not list_file.is_file():
        inside = ", ".join(sorted(path.name for path in root.iterdir())[:6]) if root.is_dir() else "no such folder"
        raise DataError(
            f"no segfolder under {root}: looked for classes.txt (one class name a line), images/ and labels/, found "
            f"{inside or 'nothing'}; name the folder that holds them with --data-root"
        )
    names = tuple(line.strip() for line in list_file.read_text(encoding="utf-8").splitlines() if line.strip())
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"{list_file} names {len(names)} classes; give 2 to {MAX_CLASSES}, one a line")
    wanted = [split for split in ("train", "val", "test") if split != "val" or (root / "images" / "val").is_dir()]
    splits = {split: pair_label_files(root / "images" / split, root / "labels" / split) for split in wanted}
    return SegmentationDataset("segfolder", root, splits, LabelSpace(len(names), 0, (255,), names))
