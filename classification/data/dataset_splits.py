"""What a reader finds, and what a task makes of it: checked labels, three splits, a fingerprint. Imports no torch."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.data.decode import open_rgb
from foundation.errors import DataError
from foundation.hash_order import order_by_hash

SPLIT_SALT = "bench-split-1"


class ImageCollection(Protocol):
    """Images in the set's own order."""

    def __len__(self) -> int:
        """How many."""

    def load_image(self, index: int) -> Image.Image:
        """Image ``index``, 8-bit RGB."""

    def get_image_name(self, index: int) -> str:
        """What to call it in a message; equal names are the same image."""

    def get_fingerprint_bytes(self, index: int) -> bytes:
        """What stands for its content in the fingerprint."""


class ImageFiles:
    """Image files below a folder; the fingerprint has their paths and sizes."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self.root = root
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def load_image(self, index: int) -> Image.Image:
        """Decode the file."""
        return open_rgb(self.root / self.paths[index])

    def get_image_name(self, index: int) -> str:
        """The path."""
        return str(self.root / self.paths[index])

    def get_fingerprint_bytes(self, index: int) -> bytes:
        """Path below the folder, and size.

        Raises:
            DataError: missing or empty.
        """
        path = self.root / self.paths[index]
        try:
            size = path.stat().st_size
        except OSError:
            raise DataError(f"{path} is missing; unpack the data set again") from None
        if size == 0:
            raise DataError(f"{path} is empty; fetch it again")
        return f"{Path(self.paths[index]).as_posix()}:{size};".encode()


class ImageArrays:
    """Images (n, height, width, 3) of uint8 in memory; the fingerprint has their pixels."""

    def __init__(self, pixels: NDArray[np.uint8], label: str) -> None:
        self.pixels = pixels
        self.label = label

    def __len__(self) -> int:
        return len(self.pixels)

    def load_image(self, index: int) -> Image.Image:
        """The pixels as an image."""
        return Image.fromarray(self.pixels[index])

    def get_image_name(self, index: int) -> str:
        """Label and number."""
        return f"{self.label} image {index}"

    def get_fingerprint_bytes(self, index: int) -> bytes:
        """The pixels."""
        return bytes(self.pixels[index].tobytes())


class RawSplit(NamedTuple):
    """One split as a reader found it."""

    images: ImageCollection
    labels: Sequence[int]


class RawDataset(NamedTuple):
    """What a reader found.

    Attributes:
        class_names: name of each class by the number that labels use.
        splits: ``train``, ``test`` and, where the set has one, ``val``.
        deviations: how files differ from the official ones, a sentence each.
        notes: what else a reader of the report should know.
    """

    class_names: Mapping[int, str]
    splits: Mapping[str, RawSplit]
    deviations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class ImageSplit(NamedTuple):
    """One split to be used: members of a listing, and their classes counted from 0."""

    images: ImageCollection
    indices: Sequence[int]
    labels: Sequence[int]


@dataclass(frozen=True)
class PreparedDataset:
    """A data set ready for use: ``class_names`` are names by class number, ``splits`` has train, val and test."""

    class_names: tuple[str, ...]
    splits: Mapping[str, ImageSplit]
    fingerprint: str
    deviations: tuple[str, ...]
    notes: tuple[str, ...]

    def count_classes(self, split: str) -> dict[str, int]:
        """Items by class name."""
        counts = Counter(self.splits[split].labels)
        return {name: counts.get(number, 0) for number, name in enumerate(self.class_names)}


def prepare_dataset(
    raw: RawDataset, official_counts: Mapping[str, int], num_classes: int | None, val_fraction: float, location: str
) -> PreparedDataset:
    """Check what was found, number the classes from 0 without gaps, and cut a val split from train where there is none.

    Args:
        raw: from a reader.
        official_counts: items by split of the whole set; empty where there is no official set.
        num_classes: of the whole set, or ``None``.
        val_fraction: share of each class of train that becomes val, one item at least (of two or more).
        location: the folder, for messages.

    Raises:
        DataError: labels outside the classes, a class without training images, images in two splits, an empty split.
    """
    deviations = list(raw.deviations)
    deviations += [
        f"{name} has {len(raw.splits[name].labels):,} images where the official split has {count:,}"
        for name, count in official_counts.items()
        if len(raw.splits[name].labels) != count
    ]
    numbers = _number_classes(raw, location)
    if num_classes is not None and len(numbers) != num_classes:
        deviations.append(f"{len(numbers)} of {num_classes} classes have images")
    splits = {
        name: ImageSplit(listing.images, range(len(listing.labels)), [numbers[label] for label in listing.labels])
        for name, listing in raw.splits.items()
    }
    _require_disjoint_splits(splits)
    if "val" not in splits:
        splits["train"], splits["val"] = _split_off_val(splits["train"], val_fraction)
    for name in ("train", "val", "test"):
        if not splits[name].indices:
            raise DataError(f"split {name} of {location} is empty; each class needs images for every split")
    names = tuple(raw.class_names[label] for label in sorted(numbers, key=numbers.__getitem__))
    order = {name: splits[name] for name in ("train", "val", "test")}
    return PreparedDataset(names, order, _compute_fingerprint(names, order), tuple(deviations), raw.notes)


def _number_classes(raw: RawDataset, location: str) -> dict[int, int]:
    """Class number, from 0 without gaps, of every label in use."""
    used: dict[str, set[int]] = {name: set(listing.labels) for name, listing in raw.splits.items()}
    everywhere = set().union(*used.values())
    strange = sorted(everywhere - set(raw.class_names))
    if strange:
        known = sorted(raw.class_names)
        hint = f" (labels {min(everywhere)} to {max(everywhere)}, classes {known[0]} to {known[-1]}: off by one?)"
        raise DataError(
            f"label {strange[0]} in {location} is no class{hint}; the label file does not fit the class list"
        )
    for name, labels in used.items():
        unseen = sorted(labels - used["train"])
        if unseen:
            raise DataError(
                f"class {raw.class_names[unseen[0]]!r} in {location} has images in {name} and none in train; "
                f"{len(unseen)} classes could never be learnt: complete train, or take them out of {name}"
            )
    if len(everywhere) < 2:
        only = raw.class_names[next(iter(everywhere))] if everywhere else "none"
        raise DataError(f"{location} has one class only ({only}); is it the folder above the one that was meant?")
    return {label: number for number, label in enumerate(sorted(everywhere))}


def _require_disjoint_splits(splits: Mapping[str, ImageSplit]) -> None:
    seen: dict[str, str] = {}
    for name, split in splits.items():
        for member in split.indices:
            image = split.images.get_image_name(member)
            if image in seen:
                raise DataError(
                    f"{image} is in {seen[image]} and again in {name}; a test on training images is no test"
                )
            seen[image] = name


def _split_off_val(train: ImageSplit, val_fraction: float) -> tuple[ImageSplit, ImageSplit]:
    """Train and val: of each class the items whose hashed number comes first become val."""
    by_class: dict[int, list[int]] = {}
    for member, label in zip(train.indices, train.labels, strict=True):
        by_class.setdefault(label, []).append(member)
    val: set[int] = set()
    for members in by_class.values():
        count = max(1, round(val_fraction * len(members))) if len(members) > 1 else 0
        val.update(order_by_hash(members, SPLIT_SALT)[:count])
    parts = []
    for inside in (False, True):
        chosen = [(m, c) for m, c in zip(train.indices, train.labels, strict=True) if (m in val) == inside]
        parts.append(ImageSplit(train.images, [m for m, _ in chosen], [c for _, c in chosen]))
    return parts[0], parts[1]


def _compute_fingerprint(class_names: Sequence[str], splits: Mapping[str, ImageSplit]) -> str:
    """Over class names and, for each split in order, each image's stamp and class."""
    digest = hashlib.sha256("\0".join(class_names).encode())
    for name, split in splits.items():
        digest.update(f"\n{name}\n".encode())
        for member, label in zip(split.indices, split.labels, strict=True):
            digest.update(split.images.get_fingerprint_bytes(member))
            digest.update(b"%d\n" % label)
    return digest.hexdigest()


def decode_images(data: PreparedDataset, decode_all: bool) -> None:
    """Open every image, or the first and the last of each class of each split; the first that fails raises."""
    for split in data.splits.values():
        places: Sequence[int] = range(len(split.indices))
        if not decode_all:
            ends: dict[int, list[int]] = {}
            for place, label in enumerate(split.labels):
                ends.setdefault(label, [place, place])[1] = place
            places = sorted({place for pair in ends.values() for place in pair})
        for place in places:
            split.images.load_image(split.indices[place])


def require_folder(path: Path, description: str) -> Path:
    """The folder, if it is there.

    Raises:
        DataError: saying what was looked for, what is there instead, and the mend.
    """
    if path.is_dir():
        return path
    parent = path.parent
    there = ", ".join(sorted(child.name for child in parent.iterdir())[:8]) if parent.is_dir() else "no such folder"
    raise DataError(
        f"{description} should be in {path}; found in {parent}: {there or 'nothing'}. Name the folder "
        "above with --data-root"
    )
