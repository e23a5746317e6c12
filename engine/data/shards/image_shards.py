"""An image set in tar archives ("shards"), which are read in place and never unpacked. Imports no torch.

Two layouts are read. In a *class archive*, such as those that ImageNet's training set is distributed in, the name of
the archive is the class: ``n01440764.tar`` holds ``n01440764_10026.JPEG``. Any other archive is a *shard* as
WebDataset writes it: the folder of a member is its class (``n01440764/n01440764_10026.JPEG``), or the number in the
file beside it (``n01440764_10026.cls`` for ``n01440764_10026.jpg``).

Images have the names and the order that they would have in a folder per class. Every image is read alone, from its
place. So nothing follows from how a set is packed: a folder and the shards that were made of it have one fingerprint,
and a run draws the same items in the same order and resumes as exactly.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.cache_table import CacheTable
from engine.data.file_hashes import FileHashes, FileState, hash_members, read_state
from engine.data.image_formats import is_image_name
from engine.data.shards.tar_members import TarMember, list_members, read_member
from engine.data.split_folders import require_read_formats
from engine.progress_bar import ProgressBar
from foundation.errors import ArchiveError, DataError
from foundation.files import SETTLED_SECONDS
from foundation.plural import format_count
from foundation.run_scope import get_run_scope

_SHARD_SUFFIX = ".tar"
_OTHER_ARCHIVE = re.compile(r"\.(tar|tgz|tbz2?|txz|zip|7z|rar)(\.\w+)?$", re.IGNORECASE)
"""Archives that cannot be read in place, and unfinished downloads (``a.tar.part``)."""
_CLASS_ARCHIVE = re.compile(r"n\d{8}\.(?i:tar)")
"""The name of an archive that holds one class: a synset of WordNet, as in ImageNet."""

_OFFICIAL_VAL = "ILSVRC2012_val_"
"""The start of the names in ``ILSVRC2012_img_val.tar``, which is flat: the labels are in another file."""

_LABEL_SUFFIX = ".cls"
_SIDE_SUFFIXES = (_LABEL_SUFFIX, ".json", ".txt")
"""Members beside an image that say something of it; only labels are read."""

_MAX_LABEL_BYTES = 8
"""A number of a class and a line end; the largest set of images has 21,841 classes."""

_SAVED_TOGETHER = 100
"""Shards between two commits to the cache, each of which waits for the disk."""


class _ShardIndex(NamedTuple):
    """The images of one shard: names, classes (a folder, or a number), and places."""

    names: list[str]
    classes: list[str | int]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


class ImageShards:
    """The images of a folder of shards, in the order of their names.

    Args:
        root: names of images and messages are relative to this folder.
        folder: the folder of the shards in it; the names of images begin with it. "" for ``root`` itself.

    Attributes:
        names: name of each image, as in a folder per class: ``train/n01440764/n01440764_10026.JPEG``.
        classes: class of each image: the name of its folder, or its number; the same kind for all.

    Raises:
        DataError: see ``list_members``; or a member is neither an image nor says something of one, an image has no
            class or is there twice, or there is none.
    """

    def __init__(self, root: Path, folder: str = "") -> None:
        self.root = root
        prefix = f"{folder}/" if folder else ""
        self._shards = [prefix + name for name in _list_shards(root / folder)]
        self._stamps = [_read_stamp(root / shard) for shard in self._shards]
        indices = _load_indices([root / shard for shard in self._shards])
        names = [prefix + name for index in indices for name in index.names]
        if not names:
            raise DataError(f"the archives in {root / folder} hold no image; fetch them again")
        classes = [name for index in indices for name in index.classes]
        numbers = np.repeat(np.arange(len(indices)), [len(index.names) for index in indices])
        # the order in which a folder per class is listed: by folder, then by name
        order = sorted(range(len(names)), key=lambda item: os.path.split(names[item]))
        self.names = [names[item] for item in order]
        self.classes = [classes[item] for item in order]
        # arrays and not tuples: loader processes share their memory, and a million tuples take 200 MB
        self._numbers = numbers[order]
        self._offsets = np.concatenate([index.offsets for index in indices])[order]
        self._sizes = np.concatenate([index.sizes for index in indices])[order]
        self._require_distinct()
        unlike = next((i for i, name in enumerate(self.classes) if type(name) is not type(self.classes[0])), None)
        if unlike is not None:
            raise DataError(
                f"{self.describe_image(0)} has its class from {_name_source(self.classes[0])} and "
                f"{self.describe_image(unlike)} from {_name_source(self.classes[unlike])}; make all archives alike"
            )

    def __len__(self) -> int:
        return len(self.names)

    def select_images(self, indices: Sequence[int]) -> ImageShards:
        """Return the images with these indices alone.

        Args:
            indices: indices of the images.
        """
        part = copy(self)
        part.names = [self.names[index] for index in indices]
        part.classes = [self.classes[index] for index in indices]
        part._numbers, part._offsets, part._sizes = (
            values[list(indices)] for values in (self._numbers, self._offsets, self._sizes)
        )
        return part

    def read_image(self, index: int) -> bytes:
        """Return the content of the file of image ``index``.

        Raises:
            DataError: its shard cannot be read.
            ArchiveError: its shard is another file than the one that was listed; no ``--skip-bad`` passes over that.
        """
        shard = self._get_shard(index)
        # at the place of the image there may be another one now, or a part of one; that is true of the whole shard,
        # and not of a single image that might be left out
        if _read_stamp(shard) != self._stamps[int(self._numbers[index])]:
            raise ArchiveError(f"{shard} was changed or replaced after its images were listed; run the command again")
        return read_member(shard, TarMember("", int(self._offsets[index]), int(self._sizes[index])))

    def describe_image(self, index: int) -> str:
        """Return the shard and the name of image ``index`` for messages."""
        return f"{self._get_shard(index)}: {self.names[index]}"

    def hash_contents(self) -> FileHashes:
        """Return the digest of each image, as ``hash_files`` does for a folder; only the shards are looked at.

        Raises:
            DataError: a shard cannot be read.
        """
        sizes, numbers = self._sizes.tolist(), self._numbers.tolist()
        return hash_members(self.root, self.names, sizes, self._shards, numbers, self.read_image)

    def _get_shard(self, index: int) -> Path:
        return self.root / self._shards[int(self._numbers[index])]

    def _require_distinct(self) -> None:
        # sorted, so that equal names are neighbors
        for index in range(1, len(self.names)):
            if self.names[index] == self.names[index - 1]:
                raise DataError(
                    f"{self.names[index]} is in {self._get_shard(index - 1)} and again in {self._get_shard(index)}; "
                    "remove one of them"
                )


def _read_stamp(shard: Path) -> tuple[int, int, int] | None:
    """Return what differs between an archive and one that took its place; ``None`` if it is gone."""
    try:
        found = shard.stat()
    except OSError:
        return None  # whoever reads it says so
    return found.st_ino, found.st_size, found.st_mtime_ns


def _name_source(label: str | int) -> str:
    return "its folder" if isinstance(label, str) else f"a {_LABEL_SUFFIX} file"


def has_shards(folder: Path) -> bool:
    """Return whether a folder holds shards; other files and class folders beside them are refused.

    Raises:
        DataError: it holds shards and class folders, or archives that are compressed or unfinished.
    """
    if not folder.is_dir():
        return False
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    shards = [entry for entry in entries if entry.name.lower().endswith(_SHARD_SUFFIX)]
    packed = sorted(entry.name for entry in entries if entry not in shards and _OTHER_ARCHIVE.search(entry.name))
    others = sorted(entry.name for entry in entries if entry.is_dir() or is_image_name(entry.name))
    if packed:
        raise DataError(
            f"{folder / packed[0]} is a compressed archive, or a part of one, and its images cannot be read in place; "
            "unpack it, or move it elsewhere"
        )
    if shards and others:
        raise DataError(
            f"{folder} holds {format_count(len(shards), 'tar archive')} and, beside them, {others[0]}; move the one or "
            "the other elsewhere, so that it is clear what the images are"
        )
    return bool(shards)


def _list_shards(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(name for name in names if name.lower().endswith(_SHARD_SUFFIX))


def _load_indices(shards: Sequence[Path]) -> list[_ShardIndex]:
    """Return what is in each shard, from the cache where the shard is unchanged."""
    store, trusts_caches = _IndexStore(), get_run_scope().trusts_caches
    indices: list[_ShardIndex] = []
    fresh: list[tuple[str, FileState, _ShardIndex]] = []
    with ProgressBar("places of the images", "archives", len(shards)) as bar:
        for shard in shards:
            began, path = time.time(), os.path.realpath(shard)
            state = read_state(path, None)
            index = store.load(path, state) if trusts_caches else None
            if index is None:
                index = _index_shard(shard)
                # as for digests: the times of a file written just now do not show another change
                if began - max(state.mtime_ns, state.ctime_ns) / 1e9 > SETTLED_SECONDS:
                    fresh.append((path, state, index))
            indices.append(index)
            if len(fresh) == _SAVED_TOGETHER or len(indices) == len(shards):
                store.save(fresh)
                fresh.clear()
            bar.advance(num_items=1)
    return indices


def _index_shard(path: Path) -> _ShardIndex:
    """List the images of a shard.

    Raises:
        DataError: see ``ImageShards``.
    """
    # hidden files and folders are left out of folders too
    members = [member for member in list_members(path) if not re.search(r"(^|/)\.", member.name)]
    require_read_formats(f"{path}: {member.name}" for member in members)
    images = [member for member in members if is_image_name(member.name)]
    packed = [member.name for member in members if member.name.lower().endswith(_SHARD_SUFFIX)]
    if packed:  # ILSVRC2012_img_train.tar holds one archive per class
        raise DataError(
            f"{path} is an archive of {format_count(len(packed), 'archive')} ({packed[0]} ...); unpack it once with "
            f"tar -xf {path.name} and move it elsewhere: the archives in it are read as they are"
        )
    strange = next((m.name for m in members if not is_image_name(m.name) and not m.name.endswith(_SIDE_SUFFIXES)), None)
    if strange is not None:
        raise DataError(f"{path} has a member {strange!r} that is no image; make the archive again without it")
    repeated = [name for name, count in Counter(member.name for member in members).items() if count > 1]
    if repeated:
        raise DataError(f"{path} has two members named {repeated[0]!r}; make the archive again")
    labels = _find_labels(path, members, images)
    home = path.stem if _CLASS_ARCHIVE.fullmatch(path.name) else ""
    names = [f"{home}/{member.name}" if home and "/" not in member.name else member.name for member in images]
    classes: list[str | int] = []
    for name, member in zip(names, images, strict=True):
        folder, label = name.rpartition("/")[0], labels.get(_get_key(member.name))
        if "/" in folder or (home and folder != home) or (folder and label is not None):
            raise DataError(
                f"{path} does not say one class for the image {member.name!r}: that is the name of a class archive, "
                f"the folder that the image is in, or the number in its {_LABEL_SUFFIX} file; make the archive again "
                "with one of them"
            )
        classes.append(folder or _read_label(path, label, member.name))
    return _ShardIndex(names, classes, *(np.array([m[place] for m in images], np.int64) for place in (1, 2)))


def _find_labels(path: Path, members: Sequence[TarMember], images: Sequence[TarMember]) -> dict[str, TarMember]:
    """Return the label file of each key; each must belong to one image, and an image may have one.

    Raises:
        DataError: a label file without an image, or two of one key.
    """
    files = [member for member in members if member.name.endswith(_LABEL_SUFFIX)]
    num_labels = Counter(_get_key(member.name) for member in files)
    num_images = Counter(_get_key(member.name) for member in images)
    for key, count in num_labels.items():
        if not num_images[key]:
            raise DataError(f"{path} has {key}{_LABEL_SUFFIX} and no image of that name; make the archive again")
        if count > 1 or num_images[key] > 1:
            raise DataError(
                f"{path} has several images or {_LABEL_SUFFIX} files of the name {key!r} up to its first dot, so it is "
                "not clear which class an image has; make the archive again"
            )
    return {_get_key(member.name): member for member in files}


def _get_key(name: str) -> str:
    """Return the part of a member's name that an image and what belongs to it share: WebDataset cuts at the first dot.

    >>> _get_key("train/x_1.seg.png")
    'train/x_1'
    """
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _read_label(path: Path, member: TarMember | None, image: str) -> int:
    if member is None and image.startswith(_OFFICIAL_VAL):
        raise DataError(
            f"{path} holds the official images of val, which do not say their classes ({image}); unpack it and sort "
            "them into one folder per synset (docs/reference/data-sets.md), or write shards with a folder or a "
            f"{_LABEL_SUFFIX} file for each image"
        )
    if member is None:
        raise DataError(
            f"{path} has an image {image!r} without a class: it is in no folder, and there is no "
            f"{_get_key(image)}{_LABEL_SUFFIX}; make the archive again with one of them"
        )
    content = read_member(path, member) if member.size <= _MAX_LABEL_BYTES else b""
    if not content.strip().isdigit():
        raise DataError(f"{member.name} in {path} does not hold the number of a class; make the archive again")
    return int(content)


class _IndexStore:
    """The places of earlier looks; it only saves time, as the store of digests does."""

    def __init__(self) -> None:
        # a class is a folder, or "/" and a number: no folder has such a name
        columns = "path BLOB PRIMARY KEY, state TEXT, names BLOB, classes BLOB, offsets BLOB, sizes BLOB"
        self._rows = CacheTable("tar_shards.sqlite", "images_1", columns)

    def load(self, path: str, state: FileState) -> _ShardIndex | None:
        """Return what is in a shard, or ``None`` if it is not known or has changed."""
        query = f"SELECT names, classes, offsets, sizes FROM {self._rows.table} WHERE path = ? AND state = ?"  # noqa: S608 - a constant name
        rows = self._rows.select_rows(query, (os.fsencode(path), repr(tuple(state))))
        if not rows:
            return None
        names, texts = ([os.fsdecode(each) for each in text.split(b"\0")] if text else [] for text in rows[0][:2])
        classes = [int(text[1:]) if text.startswith("/") else text for text in texts]
        offsets, sizes = (np.frombuffer(values, np.int64) for values in rows[0][2:])
        if not len(names) == len(classes) == len(offsets) == len(sizes):
            return None
        return _ShardIndex(names, classes, offsets, sizes)

    def save(self, found: Sequence[tuple[str, FileState, _ShardIndex]]) -> None:
        """Store what is in some shards, each with its path and state."""
        rows: list[tuple[bytes | int | str, ...]] = []
        for path, state, index in found:
            classes = [name if isinstance(name, str) else f"/{name}" for name in index.classes]
            # a zero byte cannot be in a name
            names, texts = (b"\0".join(map(os.fsencode, values)) for values in (index.names, classes))
            places = (index.offsets.tobytes(), index.sizes.tobytes())
            rows.append((os.fsencode(path), repr(tuple(state)), names, texts, *places))
        self._rows.insert_rows(rows)
