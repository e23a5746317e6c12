"""Images in the order of a data set: as files below a folder or in archives, or as arrays in memory. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.data.decode import decode_rgb, open_rgb
from engine.data.file_hashes import EMPTY_DIGESTS, FULL_COVERAGE, FileHashes, hash_files
from engine.data.shards.image_shards import ImageShards
from foundation.errors import DataError


class ImageCollection(Protocol):
    """Images in the order of the data set."""

    def __len__(self) -> int:
        """Return the number of images."""

    def load_image(self, index: int) -> Image.Image:
        """Return image ``index`` as 8-bit RGB."""

    def get_image_name(self, index: int) -> str:
        """Return the name of image ``index`` for messages; two images with the same name are the same image."""

    def get_relative_name(self, index: int) -> str:
        """Return the name of image ``index`` within the data set, which is the same wherever the data are."""

    def hash_contents(self) -> FileHashes:
        """Return a digest of the content of each image."""


class ImageFiles:
    """Image files below a folder.

    Args:
        root: the folder.
        paths: paths of the files, relative to the folder.
        digests: SHA-256 of the content of each, if it is known already.
        is_official: whether they are those of a published set, which torchvision reads. It takes the first picture of
            an animation; in a user's own files an animation is a mistake.
    """

    def __init__(
        self, root: Path, paths: Sequence[str], digests: Sequence[str] | None = None, is_official: bool = False
    ) -> None:
        self.root = root
        self.paths = paths
        self._digests = digests
        self._is_official = is_official

    def __len__(self) -> int:
        return len(self.paths)

    def load_image(self, index: int) -> Image.Image:
        """Decode image ``index`` as 8-bit RGB.

        Raises:
            DataError: the file cannot be decoded.
        """
        return open_rgb(self.root / self.paths[index], takes_first_picture=self._is_official)

    def get_image_name(self, index: int) -> str:
        """Return the path of image ``index``."""
        return str(self.root / self.paths[index])

    def get_relative_name(self, index: int) -> str:
        """Return the path of image ``index`` below the folder, with forward slashes on every system."""
        return Path(self.paths[index]).as_posix()

    def hash_contents(self) -> FileHashes:
        """Return a digest of each file; unchanged files are not read again.

        Raises:
            DataError: a file is missing or empty.
        """
        if self._digests is not None:
            return FileHashes(list(self._digests), FULL_COVERAGE)
        hashes = hash_files(self.root, self.paths)
        _require_content(self.root, self.paths, hashes.digests)
        return hashes


class ShardedImages:
    """Image files of a published set that are read in place from archives.

    Args:
        shards: the archives.
    """

    def __init__(self, shards: ImageShards) -> None:
        self._shards = shards

    def __len__(self) -> int:
        return len(self._shards)

    def load_image(self, index: int) -> Image.Image:
        """Decode image ``index`` as 8-bit RGB.

        Raises:
            DataError: the file cannot be decoded, or its archive cannot be read.
        """
        content = self._shards.read_image(index)
        return decode_rgb(content, self.get_image_name(index), takes_first_picture=True)

    def get_image_name(self, index: int) -> str:
        """Return the archive and the path of image ``index``."""
        return self._shards.describe_image(index)

    def get_relative_name(self, index: int) -> str:
        """Return the path that image ``index`` has where the archives are unpacked."""
        return self._shards.names[index]

    def hash_contents(self) -> FileHashes:
        """Return a digest of each file; unchanged archives are not read again.

        Raises:
            DataError: an archive cannot be read, or a file is empty.
        """
        hashes = self._shards.hash_contents()
        _require_content(self._shards.root, self._shards.names, hashes.digests)
        return hashes


def hash_image_files(root: Path, paths: Sequence[str]) -> list[str]:
    """Return the SHA-256 of every image file, however large all of them are together.

    Args:
        root: the folder.
        paths: paths of the files, relative to the folder.

    Raises:
        DataError: a file is missing or empty.
    """
    digests = hash_files(root, paths, reads_all=True).digests
    _require_content(root, paths, digests)
    return digests


def _require_content(root: Path, paths: Sequence[str], digests: Sequence[str]) -> None:
    empty = next((path for path, digest in zip(paths, digests, strict=True) if digest in EMPTY_DIGESTS), None)
    if empty is not None:
        raise DataError(f"{root / empty} is empty; fetch it again")


class ImageArrays:
    """Images in memory.

    Args:
        pixels: (n, height, width, 3), uint8 RGB.
        label: name of the collection, for messages.
    """

    def __init__(self, pixels: NDArray[np.uint8], label: str) -> None:
        self.pixels = pixels
        self.label = label

    def __len__(self) -> int:
        return len(self.pixels)

    def load_image(self, index: int) -> Image.Image:
        """Return image ``index`` as a PIL image."""
        return Image.fromarray(self.pixels[index])

    def get_image_name(self, index: int) -> str:
        """Return the name of the collection and the index."""
        return f"{self.label} image {index}"

    def get_relative_name(self, index: int) -> str:
        """Return the index as text."""
        return f"{self.label} {index}"

    def hash_contents(self) -> FileHashes:
        """Return the SHA-256 of the pixels of each image."""
        # all images of a collection have one shape, which is part of the digest: equal bytes may be other images
        shape = repr(self.pixels.shape[1:]).encode()
        digests = [hashlib.sha256(shape + image.tobytes()).hexdigest() for image in self.pixels]
        return FileHashes(digests, FULL_COVERAGE)
