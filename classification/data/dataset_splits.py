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

SPLIT_NAME = "bench-split-1"


class Images(Protocol):
    """Images in the set's own order."""

    def __len__(self) -> int:
        """How many."""

    def load(self, index: int) -> Image.Image:
        """Image ``index``, 8-bit RGB."""

    def name(self, index: int) -> str:
        """What to call it in a message; equal names are the same image."""

    def stamp(self, index: int) -> bytes:
        """What stands for its content in the fingerprint."""


class Files:
    """Image files below a folder; the fingerprint has their paths and sizes."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self.root = root
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> Image.Image:
        """Decode the file."""
        return open_rgb(self.root / self.paths[index])

    def name(self, index: int) -> str:
        """The path."""
        return str(self.root / self.paths[index])

    def stamp(self, index: int) -> bytes:
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


class Arrays:
    """Images (n, height, width, 3) of uint8 in memory; the fingerprint has their pixels."""

    def __init__(self, pixels: NDArray[np.uint8], label: str) -> None:
        self.pixels = pixels
        self.label = label

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, index: int) -> Image.Image:
        """The pixels as an image."""
        return Image.fromarray(self.pixels[index])

    def name(self, index: int) -> str:
        """Label and number."""
        return f"{self.label} image {index}"

    def stamp(self, index: int) -> bytes:
        """The pixels."""
        return bytes(self.pixels[index].tobytes())


class Listing(NamedTuple):
    """One split as a reader found it."""

    images: Images
    labels: Sequence[int]


class Found(NamedTuple):
    """What a reader found.

    Attributes:
        classes: name of each class by the number that labels use.
        splits: ``train``, ``test`` and, where the set has one, ``val``.
        departures: how files differ from the official ones, a sentence each.
        notes: what else a reader of the report should know.
    """

    classes: Mapping[int, str]
    splits: Mapping[str, Listing]
    departures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Split(NamedTuple):
    """One split to be used: members of a listing, and their classes counted from 0."""

    images: Images
    members: Sequence[int]
    labels: Sequence[int]


@dataclass(frozen=True)
class ImageData:
    """A data set ready for use: ``classes`` are names by class number, ``splits`` has train, val and test."""

    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    fingerprint: str
    departures: tuple[str, ...]
    notes: tuple[str, ...]

    def histogram(self, split: str) -> dict[str, int]:
        """Items by class name."""
        counts = Counter(self.splits[split].labels)
        return {name: counts.get(number, 0) for number, name in enumerate(self.classes)}


def settle(found: Found, official: Mapping[str, int], classes: int | None, val_share: float, where: str) -> ImageData:
    """Check what was found, number the classes from 0 without gaps, and cut a val split from train where there is none.

    Args:
        found: from a reader.
        official: items by split of the whole set; empty where there is no official set.
        classes: of the whole set, or ``None``.
        val_share: share of each class of train that becomes val, one item at least (of two or more).
        where: the folder, for messages.

    Raises:
        DataError: labels outside the classes, a class without training images, images in two splits, an empty split.
    """
    departures = list(found.departures)
    departures += [
        f"{name} has {len(found.splits[name].labels):,} images where the official split has {count:,}"
        for name, count in official.items()
        if len(found.splits[name].labels) != count
    ]
    numbers = _class_numbers(found, where)
    if classes is not None and len(numbers) != classes:
        departures.append(f"{len(numbers)} of {classes} classes have images")
    splits = {
        name: Split(listing.images, range(len(listing.labels)), [numbers[label] for label in listing.labels])
        for name, listing in found.splits.items()
    }
    _require_apart(splits)
    if "val" not in splits:
        splits["train"], splits["val"] = _cut(splits["train"], val_share)
    for name in ("train", "val", "test"):
        if not splits[name].members:
            raise DataError(f"split {name} of {where} is empty; each class needs images for every split")
    names = tuple(found.classes[label] for label in sorted(numbers, key=numbers.__getitem__))
    order = {name: splits[name] for name in ("train", "val", "test")}
    return ImageData(names, order, _fingerprint(names, order), tuple(departures), found.notes)


def _class_numbers(found: Found, where: str) -> dict[int, int]:
    """Class number, from 0 without gaps, of every label in use."""
    used: dict[str, set[int]] = {name: set(listing.labels) for name, listing in found.splits.items()}
    everywhere = set().union(*used.values())
    strange = sorted(everywhere - set(found.classes))
    if strange:
        known = sorted(found.classes)
        hint = f" (labels {min(everywhere)} to {max(everywhere)}, classes {known[0]} to {known[-1]}: off by one?)"
        raise DataError(f"label {strange[0]} in {where} is no class{hint}; the label file does not fit the class list")
    for name, labels in used.items():
        unseen = sorted(labels - used["train"])
        if unseen:
            raise DataError(
                f"class {found.classes[unseen[0]]!r} in {where} has images in {name} and none in train; "
                f"{len(unseen)} classes could never be learnt: complete train, or take them out of {name}"
            )
    if len(everywhere) < 2:
        only = found.classes[next(iter(everywhere))] if everywhere else "none"
        raise DataError(f"{where} has one class only ({only}); is it the folder above the one that was meant?")
    return {label: number for number, label in enumerate(sorted(everywhere))}


def _require_apart(splits: Mapping[str, Split]) -> None:
    seen: dict[str, str] = {}
    for name, split in splits.items():
        for member in split.members:
            image = split.images.name(member)
            if image in seen:
                raise DataError(
                    f"{image} is in {seen[image]} and again in {name}; a test on training images is no test"
                )
            seen[image] = name


def _cut(train: Split, share: float) -> tuple[Split, Split]:
    """Train and val: of each class the items whose hashed number comes first become val."""
    by_class: dict[int, list[int]] = {}
    for member, label in zip(train.members, train.labels, strict=True):
        by_class.setdefault(label, []).append(member)
    val: set[int] = set()
    for members in by_class.values():
        count = max(1, round(share * len(members))) if len(members) > 1 else 0
        val.update(sorted(members, key=_order)[:count])
    parts = []
    for inside in (False, True):
        chosen = [(m, c) for m, c in zip(train.members, train.labels, strict=True) if (m in val) == inside]
        parts.append(Split(train.images, [m for m, _ in chosen], [c for _, c in chosen]))
    return parts[0], parts[1]


def _order(item: int) -> str:
    return hashlib.sha256(f"{SPLIT_NAME}:{item}".encode()).hexdigest()


def _fingerprint(classes: Sequence[str], splits: Mapping[str, Split]) -> str:
    """Over class names and, for each split in order, each image's stamp and class."""
    digest = hashlib.sha256("\0".join(classes).encode())
    for name, split in splits.items():
        digest.update(f"\n{name}\n".encode())
        for member, label in zip(split.members, split.labels, strict=True):
            digest.update(split.images.stamp(member))
            digest.update(b"%d\n" % label)
    return digest.hexdigest()


def decode(data: ImageData, every: bool) -> None:
    """Open every image, or the first and the last of each class of each split; the first that fails raises."""
    for split in data.splits.values():
        places: Sequence[int] = range(len(split.members))
        if not every:
            ends: dict[int, list[int]] = {}
            for place, label in enumerate(split.labels):
                ends.setdefault(label, [place, place])[1] = place
            places = sorted({place for pair in ends.values() for place in pair})
        for place in places:
            split.images.load(split.members[place])


def require_folder(path: Path, what: str) -> Path:
    """The folder, if it is there.

    Raises:
        DataError: saying what was looked for, what is there instead, and the mend.
    """
    if path.is_dir():
        return path
    parent = path.parent
    there = ", ".join(sorted(child.name for child in parent.iterdir())[:8]) if parent.is_dir() else "no such folder"
    raise DataError(
        f"{what} should be in {path}; found in {parent}: {there or 'nothing'}. Name the folder above with --data-root"
    )
