"""Turn what a reader found into a data set ready for use: checked labels, three splits, a fingerprint.

A reader returns a ``RawDataset`` in the data set's own numbering; ``prepare_dataset`` turns it into a
``PreparedDataset``. Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from classification.data.image_collections import ImageCollection
from engine.data.duplicates import find_duplicates, judge_duplicates
from engine.data.file_hashes import FileHashes
from engine.data.item_limits import balance_indices, mark_limit
from foundation.errors import DataError
from foundation.hash_order import order_by_hash

SPLIT_SALT = "bench-split-1"
"""Part of every hash that decides which items become val or test; another salt gives other splits."""

MAX_NAMED_CLASSES = 3


class RawSplit(NamedTuple):
    """One split as a reader found it: its images, and the label of each in the data set's own numbering."""

    images: ImageCollection
    labels: Sequence[int]


class RawDataset(NamedTuple):
    """What a reader found.

    Attributes:
        class_names: name of each class, by the number that labels use.
        splits: ``train``, ``test`` and, if the data set has one, ``val``.
        deviations: how the files differ from the official ones, one sentence each.
        notes: other facts for the report, one sentence each.
    """

    class_names: Mapping[int, str]
    splits: Mapping[str, RawSplit]
    deviations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class ImageSplit(NamedTuple):
    """One split ready for use.

    Attributes:
        images: the collection that the images come from; two splits may share one.
        indices: indices of the split's images in the collection.
        labels: class of each of these images, counted from 0 without gaps.
    """

    images: ImageCollection
    indices: Sequence[int]
    labels: Sequence[int]


@dataclass(frozen=True)
class PreparedDataset:
    """A data set ready for use.

    Attributes:
        class_names: name of each class, by class index.
        splits: ``train``, ``val`` and ``test``.
        fingerprint: SHA-256 over class names, and over name, content and label of each image of all splits, 64
            hexadecimal digits.
        deviations: how the data differ from the official data set, one sentence each.
        notes: other facts for the report, one sentence each.
        coverage: which bytes the fingerprint covers, in words.
        duplicates: test or val images whose content is also in another split, one sentence each. Empty for an official
            data set, where this is a note.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, ImageSplit]
    fingerprint: str
    deviations: tuple[str, ...]
    notes: tuple[str, ...]
    coverage: str
    duplicates: tuple[str, ...]

    def count_classes(self, split: str) -> dict[str, int]:
        """Return the number of items of each class of a split, by class name."""
        counts = Counter(self.splits[split].labels)
        return {name: counts.get(number, 0) for number, name in enumerate(self.class_names)}

    def limit_items(self, max_items: int | None) -> PreparedDataset:
        """Return the part of each split that a limit keeps, with a fingerprint of its own.

        Args:
            max_items: see ``ProtocolSettings.max_items``.
        """
        if max_items is None:
            return self
        splits = {}
        for name, split in self.splits.items():
            kept = balance_indices(split.labels, max_items)
            splits[name] = ImageSplit(
                split.images, [split.indices[item] for item in kept], [split.labels[item] for item in kept]
            )
        return replace(self, splits=splits, fingerprint=mark_limit(self.fingerprint, max_items))


def prepare_dataset(
    raw: RawDataset, official_counts: Mapping[str, int], num_classes: int | None, val_fraction: float, location: str
) -> PreparedDataset:
    """Check what a reader found, number the classes from 0 without gaps, and cut val from train if there is no val.

    Args:
        raw: what the reader found.
        official_counts: images of each split of the complete data set; empty if there is no official data set.
        num_classes: number of classes of the complete data set, or ``None``.
        val_fraction: fraction of each class of train that becomes val; at least one image of a class with two or more.
        location: the folder, for messages.

    Raises:
        DataError: labels without a class, a class without training images, an image in two splits, an empty split, or,
            in a user's own folder, a class without test images.
    """
    deviations = list(raw.deviations)
    deviations += [
        f"{name} has {len(raw.splits[name].labels):,} images where the official split has {count:,}"
        for name, count in official_counts.items()
        if len(raw.splits[name].labels) != count
    ]
    numbers = _number_classes(raw, location)
    # counts that differ are a deviation and not an error: a part of ImageNet is usable, but its score is not comparable
    if num_classes is not None and len(numbers) != num_classes:
        deviations.append(f"{len(numbers)} of {num_classes} classes have images")
    splits = {
        name: ImageSplit(listing.images, range(len(listing.labels)), [numbers[label] for label in listing.labels])
        for name, listing in raw.splits.items()
    }
    _require_disjoint_splits(splits)
    names = tuple(raw.class_names[label] for label in sorted(numbers, key=numbers.__getitem__))
    is_official = bool(official_counts)
    notes = [*raw.notes, *_note_missing_classes(splits, names, is_official, location)]
    has_own_val = "val" in splits
    if "val" not in splits:
        splits["train"], splits["val"] = _split_off_val(splits["train"], val_fraction)
    for name in ("train", "val", "test"):
        if not splits[name].indices:
            raise DataError(f"split {name} of {location} is empty; each class needs images for every split")
    # the fingerprint hashes the splits in this order, whatever order the reader had
    order = {name: splits[name] for name in ("train", "val", "test")}
    contents = _hash_splits(order)
    coverage = " and ".join(dict.fromkeys(hashes.coverage for hashes in contents.values()))
    duplicates, repeated = _find_shared_images(order, contents, has_own_val, is_official)
    fingerprint = _compute_fingerprint(names, order, contents)
    return PreparedDataset(
        names, order, fingerprint, tuple(deviations), (*notes, *repeated), coverage, tuple(duplicates)
    )


def prepare_test_split(
    raw: RawDataset, official_counts: Mapping[str, int], num_classes: int | None, location: str
) -> PreparedDataset:
    """Prepare the test split alone, to test a finished model; of the other splits, no file is read.

    The classes have the numbers that they have in a run, which knows those of train too, if the reader says them.

    Args:
        raw: what the reader found; ``train`` may be missing.
        official_counts: images of each split of the complete data set; empty if there is no official data set.
        num_classes: number of classes of the complete data set, or ``None``.
        location: the folder, for messages.

    Returns:
        The data set with the split ``test`` only, and a fingerprint over it.

    Raises:
        DataError: a label without a class, an image that occurs twice, or no image.
    """
    listing = raw.splits["test"]
    if not listing.labels:
        raise DataError(f"split test of {location} is empty; put images there")
    if "train" in raw.splits:
        numbers = _number_classes(raw, location)
    else:
        numbers = {label: number for number, label in enumerate(sorted(set(listing.labels)))}
    names = tuple(raw.class_names[label] for label in sorted(numbers, key=numbers.__getitem__))
    deviations = list(raw.deviations)
    count = official_counts.get("test")
    if count not in (None, len(listing.labels)):
        deviations.append(f"test has {len(listing.labels):,} images where the official split has {count:,}")
    if num_classes not in (None, len(numbers)):
        deviations.append(f"{len(numbers)} of {num_classes} classes have images")
    split = ImageSplit(listing.images, range(len(listing.labels)), [numbers[label] for label in listing.labels])
    alone = {"test": split}
    # a link may lead to the same image under another class
    _require_disjoint_splits(alone)
    contents = _hash_splits(alone)
    fingerprint = _compute_fingerprint(names, alone, contents)
    return PreparedDataset(names, alone, fingerprint, tuple(deviations), raw.notes, contents["test"].coverage, ())


def _note_missing_classes(
    splits: Mapping[str, ImageSplit], class_names: Sequence[str], is_official: bool, location: str
) -> list[str]:
    """Return notes on classes that test or val lacks, and on classes that are too small for val.

    Raises:
        DataError: the classes are the user's own, and test lacks one.
    """
    notes = []
    for split in ("test", "val"):
        seen = set(splits[split].labels) if split in splits else set(range(len(class_names)))
        missing = [name for number, name in enumerate(class_names) if number not in seen]
        if missing and split == "test" and not is_official:
            raise DataError(
                f"class {missing[0]!r} in {location} has no test image ({len(missing)} of {len(class_names)} classes "
                "have none), so its score cannot be measured; add test images, or remove the class"
            )
        if missing:
            notes.append(f"{_count_classes(missing, class_names)} no {split} image")
    counts = Counter(splits["train"].labels)
    single = [name for number, name in enumerate(class_names) if counts[number] == 1]
    if single:
        in_val = "" if "val" in splits else ", and none in the part of train that becomes val"
        notes.append(f"{_count_classes(single, class_names)} a single training image{in_val}")
    return notes


def _count_classes(some: Sequence[str], class_names: Sequence[str]) -> str:
    """Return how many of the classes these are, with the first names and the verb."""
    shown = ", ".join(some[:MAX_NAMED_CLASSES]) + (", ..." if len(some) > MAX_NAMED_CLASSES else "")
    return f"{len(some):,} of {len(class_names):,} classes ({shown}) {'has' if len(some) == 1 else 'have'}"


def _hash_splits(splits: Mapping[str, ImageSplit]) -> dict[str, FileHashes]:
    """Return the content digests of the images of each split, in its order; a shared collection is read once."""
    by_collection: dict[int, FileHashes] = {}
    found = {}
    for name, split in splits.items():
        if id(split.images) not in by_collection:
            by_collection[id(split.images)] = split.images.hash_contents()
        hashes = by_collection[id(split.images)]
        found[name] = FileHashes([hashes.digests[member] for member in split.indices], hashes.coverage)
    return found


def _find_shared_images(
    splits: Mapping[str, ImageSplit], contents: Mapping[str, FileHashes], has_own_val: bool, is_official: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which images are in two splits: those that make a test worthless, and notes on the others.

    Only splits of which every byte was hashed are compared: equal sizes alone say nothing.
    """
    items = {
        name: list(zip(map(split.images.get_relative_name, split.indices), contents[name].digests, strict=True))
        for name, split in splits.items()
        if contents[name].is_complete
    }
    if has_own_val:
        return judge_duplicates(items, is_official)
    # val was cut from train by bench, so repeated images of train may lie on both sides of the cut; that makes the
    # choice of the epoch optimistic, but not the test
    within = find_duplicates({name: items[name] for name in ("train", "val") if name in items})
    training = [*items.get("train", ()), *items.get("val", ())]
    duplicates, notes = judge_duplicates({"train": training, "test": items.get("test", ())}, is_official)
    return duplicates, (*notes, *within)


def _number_classes(raw: RawDataset, location: str) -> dict[int, int]:
    """Map every label in use to a class index, counted from 0 without gaps.

    Raises:
        DataError: a label without a class name, a class without training images, or a single class.
    """
    used: dict[str, set[int]] = {name: set(listing.labels) for name, listing in raw.splits.items()}
    everywhere = set().union(*used.values())
    strange = sorted(everywhere - set(raw.class_names))
    if strange:
        known = sorted(raw.class_names)
        # labels 1 to n with classes 0 to n - 1 are the classic off-by-one error, so the message shows both ranges
        hint = f" (labels {min(everywhere)} to {max(everywhere)}, classes {known[0]} to {known[-1]}: off by one?)"
        raise DataError(
            f"label {strange[0]} in {location} is not a class{hint}; use a label file that fits the class list"
        )
    for name, labels in used.items():
        unseen = sorted(labels - used["train"])
        if unseen:
            raise DataError(
                f"class {raw.class_names[unseen[0]]!r} in {location} has images in {name} and none in train; "
                f"{len(unseen)} classes could never be learned; complete train, or remove them from {name}"
            )
    if len(everywhere) < 2:
        only = raw.class_names[next(iter(everywhere))] if everywhere else "none"
        raise DataError(
            f"{location} has one class only ({only}); check whether --data-root names the folder above the data"
        )
    return {label: number for number, label in enumerate(sorted(everywhere))}


def _require_disjoint_splits(splits: Mapping[str, ImageSplit]) -> None:
    """Require that no image, identified by its name, is in two splits or twice in one.

    Raises:
        DataError: an image occurs twice.
    """
    seen: dict[str, str] = {}
    for name, split in splits.items():
        for member in split.indices:
            image = split.images.get_image_name(member)
            if image in seen:
                raise DataError(
                    f"{image} is in {seen[image]} and again in {name}; remove one, because a test must not use "
                    "training images"
                )
            seen[image] = name


def _split_off_val(train: ImageSplit, val_fraction: float) -> tuple[ImageSplit, ImageSplit]:
    """Split train into train and val: of each class, the items that come first in the order of their hash become val.

    The hash is that of the item's index, so the split needs no library's random numbers and is the same everywhere.
    """
    by_class: dict[int, list[int]] = {}
    for member, label in zip(train.indices, train.labels, strict=True):
        by_class.setdefault(label, []).append(member)
    val: set[int] = set()
    # class by class, so that val has the class frequencies of train
    for members in by_class.values():
        # a class with a single image keeps it in train, where it can be learned
        count = max(1, round(val_fraction * len(members))) if len(members) > 1 else 0
        val.update(order_by_hash(members, SPLIT_SALT)[:count])
    parts = []
    for inside in (False, True):
        chosen = [(m, c) for m, c in zip(train.indices, train.labels, strict=True) if (m in val) == inside]
        parts.append(ImageSplit(train.images, [m for m, _ in chosen], [c for _, c in chosen]))
    return parts[0], parts[1]


def _compute_fingerprint(
    class_names: Sequence[str], splits: Mapping[str, ImageSplit], contents: Mapping[str, FileHashes]
) -> str:
    """Return a SHA-256 over the class names and, split by split, the name, content and class of each image."""
    digest = hashlib.sha256("\0".join(class_names).encode())  # a zero byte cannot occur in a folder name
    for name, split in splits.items():
        digest.update(f"\n{name}\n".encode())
        for member, label, content in zip(split.indices, split.labels, contents[name].digests, strict=True):
            # surrogateescape: a file name need not be valid UTF-8
            image = split.images.get_relative_name(member).encode("utf-8", "surrogateescape")
            digest.update(image + f"\0{content} {label}\n".encode())
    return digest.hexdigest()


def decode_images(data: PreparedDataset, decode_all: bool) -> None:
    """Decode images to find damaged files.

    Args:
        data: the data set.
        decode_all: decode every image; otherwise the first and the last one of each class of each split.

    Raises:
        DataError: an image cannot be decoded; the message names the first one.
    """
    for split in data.splits.values():
        positions: Sequence[int] = range(len(split.indices))
        if not decode_all:
            # first and last position of each class: the first one is set once, the last one is overwritten each time
            ends: dict[int, list[int]] = {}
            for position, label in enumerate(split.labels):
                ends.setdefault(label, [position, position])[1] = position
            positions = sorted({position for pair in ends.values() for position in pair})
        for position in positions:
            split.images.load_image(split.indices[position])


def require_folder(path: Path, description: str) -> Path:
    """Return the folder if it exists.

    Args:
        path: the folder.
        description: what should be in it, for the message.

    Raises:
        DataError: there is no such folder; the message says what was expected, what is there instead, and how to fix
            it.
    """
    if path.is_dir():
        return path
    parent = path.parent
    there = ", ".join(sorted(child.name for child in parent.iterdir())[:8]) if parent.is_dir() else "no such folder"
    raise DataError(
        f"{description} should be in {path}; found in {parent}: {there or 'nothing'}; name the folder "
        "above it with --data-root"
    )
