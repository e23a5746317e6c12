"""Load real photographs that the packages scikit-image and scikit-learn contain; nothing is downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import sha256_chunks

Image = NDArray[np.uint8]

# top-level package and the folder inside it
_SKIMAGE, _SKLEARN = ("skimage", "data"), ("sklearn", "datasets", "images")

TRAIN_PHOTOS = {
    "astronaut.png": _SKIMAGE,
    "brick.png": _SKIMAGE,
    "chelsea.png": _SKIMAGE,
    "china.jpg": _SKLEARN,
    "clock_motion.png": _SKIMAGE,
    "coins.png": _SKIMAGE,
    "grass.png": _SKIMAGE,
    "gravel.png": _SKIMAGE,
    "hubble_deep_field.jpg": _SKIMAGE,
    "ihc.png": _SKIMAGE,
    "moon.png": _SKIMAGE,
    "motorcycle_left.png": _SKIMAGE,
    "page.png": _SKIMAGE,
    "retina.jpg": _SKIMAGE,
    "rocket.jpg": _SKIMAGE,
}
"""Photographs for training pairs and for the training split of ``mini_lasot``: file name and its package folder."""

TEST_PHOTOS = {"camera.png": _SKIMAGE, "coffee.png": _SKIMAGE, "flower.jpg": _SKLEARN}
"""Photographs for the test split of ``mini_lasot``; they are used for nothing else."""


def load_photos(names: dict[str, tuple[str, ...]]) -> list[Image]:
    """Load photographs, (height, width, 3) uint8 RGB each; gray ones get three equal channels.

    Args:
        names: package folder by file name.

    Raises:
        DataError: a package does not contain one of them.
    """
    # sorted, so that the order of the table does not change any data made from the photographs
    return [_read_photo(_find_photo(name, package_path)) for name, package_path in sorted(names.items())]


def fingerprint_photos(names: dict[str, tuple[str, ...]]) -> str:
    """Return the SHA-256 over names, shapes and pixels of photographs."""
    return sha256_chunks(
        f"{name} {image.shape}".encode() + image.tobytes()
        for name, image in zip(sorted(names), load_photos(names), strict=True)
    )


def _find_photo(name: str, package_path: tuple[str, ...]) -> Path:
    package = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package_path[0]]
    spec = find_spec(package_path[0])  # finds the folder without importing the package, which is slow
    if spec is None or spec.origin is None:
        raise DataError(f"{package}, whose photographs mini_lasot uses, is not installed; pip install {package}")
    path = Path(spec.origin).parent.joinpath(*package_path[1:], name)
    if not path.is_file():
        raise DataError(f"this {package} has no {path.name} (looked in {path.parent}); install another version of it")
    return path


def _read_photo(path: Path) -> Image:
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
