"""Find the image and label files of a data set in the layout that it ships in, and pair them. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from engine.data.file_hashes import FileHashes, hash_files
from engine.data.item_limits import spread_indices
from engine.data.split_folders import require_read_formats
from foundation.errors import DataError
from foundation.run_scope import memoize_in_run
from segmentation.data.labels import LabelSpace

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class ImageLabelPair(NamedTuple):
    """An image and its label file; ``name`` is the name of both files without the suffix."""

    name: str
    image_path: Path
    label_path: Path


class DatasetHashes(NamedTuple):
    """The content digests of the files of a data set, in the order of the pairs of all splits, split after split."""

    images: FileHashes
    labels: FileHashes

    @property
    def coverage(self) -> str:
        """Which bytes the digests cover, in words."""
        if self.images.coverage == self.labels.coverage:
            return self.images.coverage
        return f"images: {self.images.coverage}; label files: {self.labels.coverage}"


@dataclass(frozen=True)
class SegmentationDataset:
    """A data set as found on disk.

    Attributes:
        name: the task's name.
        root: the data set's folder.
        splits: the pairs of each split, in the order of their names: ``train``, ``test``, and ``val`` if there is one.
        label_space: the classes and how label files number them.
        has_own_classes: whether the user's own list names the classes.
        notes: what was decided while the files were found, for the report.
        class_file: the user's list of classes, for messages.
    """

    name: str
    root: Path
    splits: Mapping[str, Sequence[ImageLabelPair]]
    label_space: LabelSpace
    has_own_classes: bool = False
    notes: tuple[str, ...] = ()
    class_file: Path | None = None

    def limit_items(self, max_items: int | None) -> SegmentationDataset:
        """Return the part of each split that a limit keeps.

        Args:
            max_items: see ``ProtocolSettings.max_items``.
        """
        splits = {
            name: [pairs[item] for item in spread_indices(len(pairs), max_items)] for name, pairs in self.splits.items()
        }
        return replace(self, splits=splits)

    def list_pairs(self) -> list[tuple[str, ImageLabelPair]]:
        """Return split and pair of all splits, split after split."""
        return [(split, pair) for split, pairs in self.splits.items() for pair in pairs]

    def get_relative_name(self, path: Path) -> str:
        """Return the path of a file below the data set's folder, with forward slashes on every system."""
        return path.relative_to(self.root).as_posix()

    def hash_contents(self) -> DatasetHashes:
        """Return the digests of all files; unchanged files are not read again.

        Label files are taken by themselves: they are small, so all of them can be hashed even where the images are too
        large for that.
        """
        pairs = [pair for _, pair in self.list_pairs()]
        images, labels = (
            hash_files(self.root, [self.get_relative_name(path) for path in paths])
            for paths in ((pair.image_path for pair in pairs), (pair.label_path for pair in pairs))
        )
        return DatasetHashes(images, labels)

    def compute_fingerprint(self, hashes: DatasetHashes) -> str:
        """Return a SHA-256 over the label space, the splits, the names and the content of every file.

        Args:
            hashes: what ``hash_contents`` returned.
        """
        # the root is left out: the same files in another folder are the same data
        digest = hashlib.sha256(repr(self.label_space.make_lookup_table()).encode())
        if self.has_own_classes:  # their names stand beside the IoU of each class; those of the others never change
            digest.update("\n".join(self.label_space.class_names).encode() + b"\n")
        if self.label_space.colors:
            digest.update(f"colors {self.label_space.colors}\n".encode())
        rows = zip(self.list_pairs(), hashes.images.digests, hashes.labels.digests, strict=True)
        # sorted by split alone, so that the pairs of a split keep their order
        for (split, pair), image, label in sorted(rows, key=lambda row: row[0][0]):
            # surrogateescape: a file name need not be valid UTF-8
            digest.update(f"{split} {pair.name} {image} {label}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def find_dataset_folder(root: Path, candidates: Sequence[str], dataset_name: str) -> Path:
    """Return the first of ``candidates`` below ``root`` that is a folder.

    Args:
        root: the data root.
        candidates: folders relative to the root, most likely one first.
        dataset_name: name of the data set, for the message.

    Raises:
        DataError: none of them is a folder; the message says what was looked for and what is there instead.
    """
    for candidate in candidates:
        if (root / candidate).is_dir():
            return root / candidate
    found = "there is no such folder"
    if root.is_dir():
        inside = sorted(path.name for path in root.iterdir())
        found = f"it holds {', '.join(inside[:6])}{' ...' if len(inside) > 6 else ''}" if inside else "it is empty"
    # the first part of each candidate, without repeats: dict.fromkeys keeps the order, a set would not
    looked = " or ".join(dict.fromkeys(candidate.split("/")[0] for candidate in candidates))
    raise DataError(
        f"no {dataset_name} under {root}: looked for {looked}, but {found}; name the folder above it with --data-root"
    )


def pair_label_files(image_folder: Path, label_folder: Path) -> list[ImageLabelPair]:
    """Pair every image with the label PNG of the same name.

    Args:
        image_folder: folder of the images (JPEG or PNG).
        label_folder: folder of the label PNGs.

    Returns:
        The pairs in the order of their names.

    Raises:
        DataError: a folder is missing or empty, or a file has no partner.
    """
    found = {}
    for folder, endings in ((image_folder, IMAGE_SUFFIXES), (label_folder, (".png",))):
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; fetch the data again, or name their folder with --data-root")
        found[folder] = _index_by_stem(folder, endings)
        if not found[folder]:
            kinds = ", ".join(endings)
            raise DataError(f"{folder} holds no files ({kinds}), so this split is empty; fetch the data again")
    # the symmetric difference: images without a label file, and label files without an image
    alone = sorted(found[image_folder].keys() ^ found[label_folder].keys())
    if alone:
        name = alone[0]
        more = f" ({len(alone)} files have no partner)" if len(alone) > 1 else ""
        if name in found[image_folder]:
            raise DataError(
                f"{found[image_folder][name]} has no annotation {label_folder / name}.png{more}; fetch it, "
                "or remove the image"
            )
        raise DataError(
            f"{found[label_folder][name]} has no image of that name in {image_folder}{more}; fetch it, "
            "or remove the label file"
        )
    return [
        ImageLabelPair(name, found[image_folder][name], found[label_folder][name])
        for name in sorted(found[image_folder])
    ]


def _index_by_stem(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Return the files of a folder by their name without the suffix."""
    files: dict[str, Path] = {}
    found = sorted(folder.iterdir())
    require_read_formats(str(path) for path in found if not path.name.startswith("."))
    for path in found:
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                # a.jpg and a.png would both claim the label file a.png
                raise DataError(f"{files[path.stem]} and {path} have the same name; keep one of them")
            files[path.stem] = path
    return files


ADE20K_LABEL_SPACE = LabelSpace(num_classes=150, first_label=1, ignored_labels=(0,))
"""ADEChallengeData2016: 0 is "other objects" and never scored, 1..150 are the classes.

mmseg calls the same mapping ``reduce_zero_label``.
"""


@memoize_in_run
def read_ade20k(root: Path, dataset_name: str = "ade20k", *, test_only: bool = False) -> SegmentationDataset:
    """Find ADEChallengeData2016 below ``root`` and pair its files.

    The official validation split becomes ``test``: the labels of the official test split are not public, so every
    paper reports validation.

    Args:
        root: the data root.
        dataset_name: the task's name.
        test_only: leave the other splits out; their folders may be missing.

    Raises:
        DataError: a file or folder is missing.
    """
    candidates = ("ADEChallengeData2016", "ade20k/ADEChallengeData2016", "ade/ADEChallengeData2016")
    folder = find_dataset_folder(root, candidates, "ADE20K")
    splits = {
        split: pair_label_files(folder / "images" / official_name, folder / "annotations" / official_name)
        for split, official_name in (("train", "training"), ("test", "validation"))
        if split == "test" or not test_only
    }
    return SegmentationDataset(dataset_name, folder, splits, ADE20K_LABEL_SPACE)


# the order is that of the label values 0..10
CAMVID_CLASSES = (
    *("sky", "building", "pole", "road", "sidewalk", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)


@memoize_in_run
def read_camvid(root: Path, *, test_only: bool = False) -> SegmentationDataset:
    """Find CamVid (11 classes, 480 x 360 pixels) below ``root`` in SegNet's layout and pair its files.

    That layout has the images in ``train``, ``val`` and ``test`` and their labels in ``trainannot``, ``valannot`` and
    ``testannot``. Label value 11 ("void") is ignored.

    Args:
        root: the data root.
        test_only: leave the other splits out; their folders may be missing.

    Raises:
        DataError: a file or folder is missing.
    """
    folder = find_dataset_folder(root, ("CamVid", "camvid/CamVid", "camvid"), "CamVid")
    wanted = ("test",) if test_only else ("train", "val", "test")
    splits = {split: pair_label_files(folder / split, folder / f"{split}annot") for split in wanted}
    return SegmentationDataset("camvid", folder, splits, LabelSpace(11, 0, (11,), CAMVID_CLASSES))
