"""Load scikit-learn's handwritten digits (1,797 real images of 8 x 8 pixels) with a fixed split.

Source: E. Alpaydin, C. Kaynak, UCI "Optical Recognition of Handwritten Digits", test part, CC BY 4.0, as shipped
with scikit-learn.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.item_limits import balance_indices, mark_limit
from foundation.errors import DataError
from foundation.hash_order import order_by_hash

NUM_IMAGES = 1797
NUM_CLASSES = 10
SPLIT_FRACTIONS = {"test": 0.20, "val": 0.15}
# changing the salt would change the split and so every stored result
SPLIT_SALT = "digits-split-1"


class DigitsData(NamedTuple):
    """The digits.

    Attributes:
        images: (n, 8, 8) float32, 0 to 1.
        labels: class indices, (n,).
        splits: item indices of each split, ascending.
        fingerprint: SHA-256 over images, labels and splits.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    splits: dict[str, list[int]]
    fingerprint: str

    def limit_items(self, max_items: int | None) -> DigitsData:
        """Return the part of each split that a limit keeps, with a fingerprint of its own.

        Args:
            max_items: see ``ProtocolSettings.max_items``.
        """
        if max_items is None:
            return self
        kept = {
            name: [members[item] for item in balance_indices(self.labels[members].tolist(), max_items)]
            for name, members in self.splits.items()
        }
        return self._replace(splits=kept, fingerprint=mark_limit(self.fingerprint, max_items))


def load_digits_data() -> DigitsData:
    """Load the data with their fixed, stratified train / val / test split.

    The items of each class are ordered by a hash of ``SPLIT_SALT`` and the item index. The first 20 % are test, the
    next 15 % val. The split therefore does not depend on the random numbers of any library.

    Raises:
        DataError: scikit-learn does not contain the expected 1,797 images.
    """
    counts, labels = _read_shipped_digits()
    # the pixels are counts from 0 to 16
    images = (counts / 16.0).astype(np.float32)
    if images.shape != (NUM_IMAGES, 8, 8) or sorted(set(labels.tolist())) != list(range(NUM_CLASSES)):
        raise DataError(f"scikit-learn's digits should be {NUM_IMAGES} images of 10 classes, found {images.shape}")
    splits: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for label in range(NUM_CLASSES):
        members = order_by_hash(np.flatnonzero(labels == label).tolist(), SPLIT_SALT)
        tests, vals = (round(SPLIT_FRACTIONS[name] * len(members)) for name in ("test", "val"))
        splits["test"] += members[:tests]
        splits["val"] += members[tests : tests + vals]
        splits["train"] += members[tests + vals :]
    splits = {name: sorted(members) for name, members in splits.items()}
    digest = hashlib.sha256(images.tobytes() + labels.tobytes() + repr(sorted(splits.items())).encode())
    return DigitsData(images, labels, splits, digest.hexdigest())


def _read_shipped_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return pixels, (n, 8, 8), and labels, (n,), as scikit-learn's ``load_digits`` has them.

    An answer from a record needs the digits for their fingerprint alone, and the import of scikit-learn takes three
    times as long as all of the rest. So the table that ``load_digits`` reads is read here, wherever it lies there.
    """
    package = find_spec("sklearn")
    file = Path(package.origin).parent / "datasets/data/digits.csv.gz" if package and package.origin else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits  # a release that keeps the table elsewhere

        raw = load_digits()
        return raw.images, raw.target.astype(np.int64)
    with gzip.open(file, "rt", encoding="ascii") as text:
        table = np.loadtxt(text, delimiter=",")  # 64 pixels and the label in each row
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


class DigitsDataset:
    """One split as network input: upsampled to ``img_size`` (bicubic), three equal channels, normalized.

    Args:
        digits: the data.
        split: ``train``, ``val`` or ``test``.
        img_size: side of the output, pixels.
        mean, std: normalization of the backbone's card, per channel.
        max_shift: largest random translation as a fraction of the side, drawn from Python's ``random``; 0 for none.
    """

    def __init__(
        self,
        digits: DigitsData,
        split: str,
        img_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        max_shift: float = 0.0,
    ) -> None:
        self.digits = digits
        self.indices = digits.splits[split]
        self.labels = digits.labels[self.indices].tolist()
        self.img_size = img_size
        self.mean = np.array(mean, np.float32).reshape(3, 1, 1)
        self.std = np.array(std, np.float32).reshape(3, 1, 1)
        self.max_shift = max_shift

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.indices[index]
        image = upsample_image(self.digits.images[item], self.img_size, *self._sample_shift())
        return {
            # (1, S, S) to (3, S, S)
            "images": (np.repeat(image[None], 3, 0) - self.mean) / self.std,
            "labels": int(self.digits.labels[item]),
            "item": index,
        }

    def get_image_name(self, index: int) -> str:
        """Return a name with the index of the digit in scikit-learn's order."""
        return f"digit {self.indices[index]}"

    def get_preprocessing(self) -> dict[str, Any]:
        """Return every setting that affects the pixels of an image, as plain data; part of the feature cache's key."""
        return {
            "img_size": self.img_size,
            "mean": self.mean.ravel().tolist(),
            "std": self.std.ravel().tolist(),
            "interpolation": "bicubic",
            "shift": self.max_shift,
        }

    def _sample_shift(self) -> tuple[float, float]:
        # Python's generator, which SeededDataset seeds for each item
        reach = self.max_shift * self.img_size
        return (random.uniform(-reach, reach), random.uniform(-reach, reach)) if reach else (0.0, 0.0)  # noqa: S311


def upsample_image(image: NDArray[np.float32], size: int, dx: float, dy: float) -> NDArray[np.float32]:
    """Scale a square image to (size, size) by bicubic interpolation and shift it by (dx, dy) output pixels.

    Pixel centers are at half-integers, as in torch's ``interpolate(align_corners=False)``. Pixels outside the image
    are 0.

    Args:
        image: (side, side) float32.
        size: side of the output, pixels.
        dx, dy: shift to the right and down, output pixels.
    """
    import cv2  # here, because the fingerprint of the data needs no picture

    scale = size / image.shape[0]
    # x_out + 0.5 = scale * (x_in + 0.5), so x_out = scale * x_in + 0.5 * scale - 0.5
    offset = 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, offset + dx], [0, scale, offset + dy]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC), np.float32)
