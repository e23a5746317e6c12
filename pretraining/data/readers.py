"""Read the training images of each set: small sets into memory, others as lists of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from engine.data import digits as digit_reader
from engine.data.decode import decode_rgb, open_rgb
from engine.data.file_hashes import FULL_COVERAGE, FileHashes, hash_files
from engine.data.image_formats import UNREAD_IMAGE_SUFFIXES, describe_unopened, is_image_name
from engine.data.item_limits import spread_indices
from engine.data.official.cifar import read_cifar_batches
from engine.data.shards.image_shards import ImageShards, has_shards
from engine.data.tree_files import list_tree, require_all_used
from foundation.errors import DataError
from foundation.files import iter_files

TILE_SIZE, TILE_STRIDE = 96, 48
"""Side of a tile of a photograph, and the distance between neighboring tiles, pixels."""
PHOTO_FILES = (
    *("astronaut.png", "clock_motion.png", "coins.png", "grass.png", "hubble_deep_field.jpg", "ihc.png"),
    *("moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png"),
)
"""The photographs of scikit-image that no embedded task uses for its test."""
DIGIT_SIZE = 32
"""Side to which digits are enlarged from 8 x 8 pixels, as in fine-tuning."""


@dataclass(frozen=True)
class ImagePool:
    """Training images.

    Attributes:
        fingerprint: SHA-256 over pixels, or over the names and contents of the files.
        pixels: (n, height, width, 3) uint8; ``None`` if the images are files.
        root: folder of the files.
        paths: paths of the files, relative to ``root``.
        shards: the archives that hold the files; ``None`` if they are in folders.
        labels: class indices; ``None`` without labels.
        deviations: how the images differ from the official set, one sentence each.
        coverage: which bytes the fingerprint covers, in words.
    """

    fingerprint: str
    pixels: NDArray[np.uint8] | None = None
    root: Path = Path()
    paths: Sequence[str] = ()
    shards: ImageShards | None = None
    labels: Sequence[int] | None = None
    deviations: tuple[str, ...] = ()
    coverage: str = FULL_COVERAGE

    def __len__(self) -> int:
        return len(self.paths) if self.pixels is None else len(self.pixels)

    def limit_items(self, max_items: int | None) -> ImagePool:
        """Return the part that a limit keeps; the fingerprint stays that of all images.

        Args:
            max_items: see ``ProtocolSettings.max_items``.
        """
        if max_items is None or len(self) <= max_items:
            return self
        kept = list(spread_indices(len(self), max_items))
        if self.pixels is not None:
            return replace(self, pixels=self.pixels[kept], labels=None)
        shards = self.shards.select_images(kept) if self.shards is not None else None
        return replace(self, paths=[self.paths[item] for item in kept], shards=shards, labels=None)

    def hash_labeled_images(self) -> str:
        """Return the SHA-256 over images and labels, which together decide the k-NN check."""
        return hashlib.sha256(f"{self.fingerprint} {[int(label) for label in self.labels or ()]}".encode()).hexdigest()

    def load_image(self, index: int) -> Image.Image:
        """Return an image in RGB.

        Args:
            index: index of the image.

        Raises:
            DataError: the image cannot be decoded; names the file.
        """
        if self.pixels is not None:
            return Image.fromarray(self.pixels[index])
        if self.shards is not None:
            return decode_rgb(self.shards.read_image(index), self.get_image_name(index))
        return open_rgb(self.root / self.paths[index])

    def get_image_name(self, index: int) -> str:
        """Return where an image that is not in memory lies, for messages."""
        return str(self.root / self.paths[index]) if self.shards is None else self.shards.describe_image(index)


def read_digits(root: Path) -> ImagePool:
    """Read the training split of scikit-learn's digits, enlarged as in fine-tuning.

    Args:
        root: not used, the digits are part of scikit-learn.
    """
    found = digit_reader.load_digits_data()
    members = found.splits["train"]
    # upsampling as in engine.data.digits, so that pre-training and fine-tuning see the same pixels
    gray = np.stack([digit_reader.upsample_image(found.images[item], DIGIT_SIZE, 0.0, 0.0) for item in members])
    # bicubic interpolation overshoots, hence the clip
    pixels = np.repeat((gray * 255).round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)
    return ImagePool(_hash_pixels(pixels), pixels, labels=[int(found.labels[item]) for item in members])


def read_photos(root: Path) -> ImagePool:
    """Cut ``PHOTO_FILES`` into overlapping tiles.

    Args:
        root: not used, the photographs are part of scikit-image.

    Raises:
        DataError: scikit-image or one of the photographs is missing.
    """
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DataError("scikit-image, whose photographs are used, is not installed; pip install scikit-image")
    home = Path(spec.origin).parent / "data"
    missing = [name for name in PHOTO_FILES if not (home / name).is_file()]
    if missing:
        raise DataError(f"this scikit-image has no {missing[0]} (looked in {home}); install another version of it")
    pixels = np.stack([tile for name in PHOTO_FILES for tile in _iter_tiles(np.asarray(open_rgb(home / name)))])
    return ImagePool(_hash_pixels(pixels), pixels)


def read_cifar10(root: Path) -> ImagePool:
    """Read all 50,000 training images of CIFAR-10; they include fine-tuning's val images, without their labels."""
    return _read_cifar(root, CIFAR10, "labels")


def read_cifar100(root: Path) -> ImagePool:
    """Read all 50,000 training images of CIFAR-100; they include fine-tuning's val images, without their labels."""
    return _read_cifar(root, CIFAR100, "fine_labels")


def read_imagenet(root: Path) -> ImagePool:
    """List the images of ``imagenet/train``, which has one folder per class, or archives of them.

    Raises:
        DataError: there is none, an archive is damaged, or an image is not directly in the folder of a class.
    """
    home = _require_folder(root / "imagenet" / "train")
    if has_shards(home):
        shards = ImageShards(home)
        numbers = {name: index for index, name in enumerate(sorted({str(name) for name in shards.classes}))}
        # a number beside an image is that of its class already
        labels = [name if isinstance(name, int) else numbers[name] for name in shards.classes]
        strange = next((i for i, name in enumerate(shards.classes) if isinstance(name, int) and name >= 1000), None)
        if strange is not None:
            raise DataError(
                f"{shards.describe_image(strange)} has the class {labels[strange]}, and ImageNet's are 0 to 999; make "
                "the archive again"
            )
        hashes = shards.hash_contents()
        fingerprint = _hash_names(shards.names, hashes)
        return ImagePool(fingerprint, None, home, shards.names, shards, labels, coverage=hashes.coverage)
    paths = list(_iter_image_files(home))
    nested = next((path for path in paths if path.count("/") != 1), None)
    if nested is not None:
        # its first folder would be taken for its class, and the k-NN check would say 100 % of one class
        raise DataError(
            f"{home / nested} is not in a folder of its class; put the images of each class into one folder directly "
            f"below {home}, or take images without labels with --data folder"
        )
    # sorted folder names give the usual class indices of ImageNet
    classes = {name: index for index, name in enumerate(sorted({Path(path).parts[0] for path in paths}))}
    return _make_file_pool(home, paths, [classes[Path(path).parts[0]] for path in paths])


def read_image_folder(root: Path) -> ImagePool:
    """List every image file below the root, in any folders.

    Raises:
        DataError: there is none, or a file that is neither an image that can be opened here nor known litter.
    """
    home = _require_folder(root)
    tree = list_tree(home)
    # in the order in which the folders are walked, on which the fingerprint of earlier runs rests
    found = set(tree.files)
    paths = [path for path in _iter_image_files(home) if path in found]
    unread = [path for path in tree.files if path.lower().endswith(UNREAD_IMAGE_SUFFIXES)]
    is_packed = any(path.lower().endswith(".tar") for path in tree.files)
    packed = "tar archives are read with --data imagenet alone (imagenet/train), so unpack them" if is_packed else ""
    require_all_used(tree, paths, describe_unopened(unread[0]) if unread else packed)
    return _make_file_pool(home, paths, None)


def _read_cifar(root: Path, dataset_class: type[CIFAR10], label_key: str) -> ImagePool:
    home = _require_folder(root / dataset_class.base_folder)
    batch = read_cifar_batches(home, [name for name, _ in dataset_class.train_list], label_key)
    # other files are allowed, but the run must say so
    strange = [name for name, md5 in dataset_class.train_list if not check_integrity(home / name, md5)]
    departures = (f"not the official files, by their MD5: {', '.join(strange)}",) if strange else ()
    return ImagePool(_hash_pixels(batch.images), batch.images, labels=batch.labels, deviations=departures)


def _iter_tiles(photo: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    height, width, _ = photo.shape
    for top in range(0, height - TILE_SIZE + 1, TILE_STRIDE):
        for left in range(0, width - TILE_SIZE + 1, TILE_STRIDE):
            yield photo[top : top + TILE_SIZE, left : left + TILE_SIZE]


def _require_folder(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(
            f"there is no folder {path}; name the folder above it with --data-root, or get the set with "
            "bench get data TASK"
        )
    return path


def _iter_image_files(directory: Path) -> Iterator[str]:
    """Yield the paths of image files below a folder, relative to it, with forward slashes on every system."""
    for path in iter_files(directory):
        if is_image_name(path.name):
            yield path.relative_to(directory).as_posix()


def _make_file_pool(directory: Path, paths: list[str], labels: list[int] | None) -> ImagePool:
    if not paths:
        raise DataError(
            f"{directory} holds no image (.jpg, .png and others); name the folder of your images with --data-root"
        )
    hashes = hash_files(directory, paths)
    fingerprint = _hash_names(paths, hashes)
    return ImagePool(fingerprint, root=directory, paths=paths, labels=labels, coverage=hashes.coverage)


def _hash_names(paths: Sequence[str], hashes: FileHashes) -> str:
    """Return the SHA-256 over the names and contents of files."""
    digest = hashlib.sha256()
    for path, content in zip(paths, hashes.digests, strict=True):
        digest.update(path.encode("utf-8", "surrogateescape") + f"\0{content}\n".encode())
    return digest.hexdigest()


def _hash_pixels(pixels: NDArray[np.uint8]) -> str:
    # with the shape, since equal bytes may be images of different sizes
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
