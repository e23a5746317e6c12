"""Training images of each set: in memory where they are small, else as files. Labels only where a set has them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from engine.data import digits as digit_reader
from engine.data.cifar import read_batches
from engine.data.decode import open_rgb
from foundation.errors import DataError
from foundation.files import files_below

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
TILE, STRIDE = 96, 48
"""Side of a tile of a photograph and the step between two, pixels."""
PHOTOS = (
    *("astronaut.png", "clock_motion.png", "coins.png", "grass.png", "hubble_deep_field.jpg", "ihc.png"),
    *("moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png"),
)
"""Of scikit-image's photographs those that no embedded task is tested on."""
DIGIT_SIDE = 32
"""Digits are stored as fine-tuning sees them, enlarged from 8 x 8 pixels."""


@dataclass(frozen=True)
class Pool:
    """Training images.

    Attributes:
        pixels: (n, height, width, 3) uint8, or ``None`` where they are files.
        root, paths: the files.
        labels: class numbers, or ``None``.
        fingerprint: SHA-256 over pixels, or over paths and sizes.
        departures: how they differ from the official set, a sentence each.
    """

    fingerprint: str
    pixels: NDArray[np.uint8] | None = None
    root: Path = Path()
    paths: Sequence[str] = ()
    labels: Sequence[int] | None = None
    departures: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths) if self.pixels is None else len(self.pixels)

    def image(self, index: int) -> Image.Image:
        """Image ``index``, RGB.

        Raises:
            DataError: it cannot be decoded; names the file.
        """
        if self.pixels is not None:
            return Image.fromarray(self.pixels[index])
        return open_rgb(self.root / self.paths[index])


def digits(root: Path) -> Pool:
    """The training split of scikit-learn's digits, enlarged as fine-tuning does it."""
    found = digit_reader.load()
    members = found.splits["train"]
    grey = np.stack([digit_reader.upsample(found.images[item], DIGIT_SIDE, 0.0, 0.0) for item in members])
    pixels = np.repeat((grey * 255).round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)
    return Pool(_digest(pixels), pixels, labels=[int(found.labels[item]) for item in members])


def photos(root: Path) -> Pool:
    """Overlapping tiles of ``PHOTOS``."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DataError("scikit-image is not installed, whose photographs are used; pip install scikit-image")
    home = Path(spec.origin).parent / "data"
    missing = [name for name in PHOTOS if not (home / name).is_file()]
    if missing:
        raise DataError(f"this scikit-image has no {missing[0]} (looked in {home}); install another version of it")
    pixels = np.stack([tile for name in PHOTOS for tile in _tiles(np.asarray(open_rgb(home / name)))])
    return Pool(_digest(pixels), pixels)


def cifar10(root: Path) -> Pool:
    """All 50,000 training images of CIFAR-10 (fine-tuning's val images among them, without their labels)."""
    return _cifar(root, CIFAR10, "labels")


def cifar100(root: Path) -> Pool:
    """All 50,000 training images of CIFAR-100 (fine-tuning's val images among them, without their labels)."""
    return _cifar(root, CIFAR100, "fine_labels")


def imagenet(root: Path) -> Pool:
    """``imagenet/train`` with a folder a class."""
    home = _require_folder(root / "imagenet" / "train")
    paths = list(_files(home))
    classes = {name: number for number, name in enumerate(sorted({Path(path).parts[0] for path in paths}))}
    return _of_files(home, paths, [classes[Path(path).parts[0]] for path in paths])


def folder(root: Path) -> Pool:
    """Every image file below the root, in whatever folders."""
    home = _require_folder(root)
    return _of_files(home, list(_files(home)), None)


def _cifar(root: Path, official: type[CIFAR10], key: str) -> Pool:
    home = _require_folder(root / official.base_folder)
    batch = read_batches(home, [name for name, _ in official.train_list], key)
    strange = [name for name, md5 in official.train_list if not check_integrity(home / name, md5)]
    departures = (f"not the official files, by their MD5: {', '.join(strange)}",) if strange else ()
    return Pool(_digest(batch.images), batch.images, labels=batch.labels, departures=departures)


def _tiles(photograph: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    height, width, _ = photograph.shape
    for top in range(0, height - TILE + 1, STRIDE):
        for left in range(0, width - TILE + 1, STRIDE):
            yield photograph[top : top + TILE, left : left + TILE]


def _require_folder(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; name the folder above it with --data-root, or fetch the set")
    return path


def _files(home: Path) -> Iterator[str]:
    """Paths of image files below a folder."""
    for path in files_below(home):
        if path.name.lower().endswith(ENDINGS):
            yield path.relative_to(home).as_posix()


def _of_files(home: Path, paths: list[str], labels: list[int] | None) -> Pool:
    if not paths:
        raise DataError(
            f"{home} holds no image ({', '.join(ENDINGS)}); name the folder of your images with --data-root"
        )
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path}:{(home / path).stat().st_size};".encode())
    return Pool(digest.hexdigest(), root=home, paths=paths, labels=labels)


def _digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
