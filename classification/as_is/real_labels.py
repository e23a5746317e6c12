"""ReaL: several labels for each image of ImageNet's validation set (Beyer et al. 2020, arXiv 2006.07159)."""

from __future__ import annotations

import hashlib
import json
import pkgutil
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classification.as_is.head_classes import list_imagenet_synsets
from classification.metrics import ScoredItem, rank_true_class
from foundation.errors import ConfigError, DataError
from foundation.storage.regular_files import read_regular

VAL_IMAGES = 50_000
_MAX_BYTES = 1 << 26
_VAL_NAME = re.compile(r"ILSVRC2012_val_(\d{8})$")

FROM_TIMM = "timm"
"""The value of ``real_labels`` that takes the file that timm ships."""


@dataclass(frozen=True)
class RealLabels:
    """The labels of the test images that have any.

    Attributes:
        sha256: of the file.
        items: indices in the test split of the images that are scored, ascending.
        labels: the labels of each of them, as numbers of the data's classes and of the further ones of the head.
    """

    sha256: str
    items: Sequence[int]
    labels: Sequence[Sequence[int]]

    def score_items(self, probabilities: NDArray[np.float32], items: NDArray[np.int64]) -> list[ScoredItem]:
        """Return the row of each image: it is right if the predicted class is one of its labels.

        The label of a row is the predicted class where that is right, else the most probable of the labels; the place
        is that of the most probable one.

        Args:
            probabilities: probability of each class, (batch, classes).
            items: indices among the scored images, (batch,).
        """
        rows = []
        for row, item in zip(probabilities, items.tolist(), strict=True):
            labels = np.array(self.labels[item])
            places = rank_true_class(labels, np.repeat(row[None], len(labels), axis=0))
            # the predicted class has place 0, so a right answer is its own label
            best = int(places.argmin())
            prediction = int(row.argmax())
            rows.append(ScoredItem(item, int(labels[best]), prediction, float(row[prediction]), int(places[best])))
        return rows


def read_real_labels(source: str, image_names: Sequence[str], class_names: Sequence[str]) -> RealLabels:
    """Read the labels and find those of each test image by its file name, ``ILSVRC2012_val_00000001``.

    Args:
        source: the file, or ``timm``.
        image_names: names of the test images within the data set.
        class_names: WordNet ids of all classes that may be predicted, in the order of their numbers.

    Raises:
        ConfigError: the file is not a list of 50,000 lists of classes of ImageNet-1k.
        DataError: an image is none of ImageNet's val, or none has a label.
    """
    content = _read_bytes(source)
    lists = _parse_lists(source, content)
    numbers = {name: number for number, name in enumerate(class_names)}
    try:
        # the file has the official numbers, and the data may have others
        order = [numbers[synset] for synset in list_imagenet_synsets()]
    except KeyError as error:
        raise ConfigError(
            f"real_labels are for classifiers of all 1,000 classes of ImageNet-1k, and {error.args[0]} is none of "
            "those that may be predicted; leave restrict and real_labels out"
        ) from error
    items, labels = [], []
    for item, name in enumerate(image_names):
        found = _VAL_NAME.fullmatch(Path(name).stem)
        if found is None or not 1 <= int(found[1]) <= VAL_IMAGES:
            raise DataError(
                f"{name} is not named as an image of ImageNet's val (ILSVRC2012_val_00000001 to {VAL_IMAGES:08d}), so "
                "real_labels says nothing of it; leave real_labels out"
            )
        # an image without a label shows none of the classes, and does not count (section 3 of the paper)
        if own := lists[int(found[1]) - 1]:
            items.append(item)
            labels.append([order[label] for label in own])
    if not items:
        raise DataError("none of the test images has a label in real_labels; leave it out")
    return RealLabels(hashlib.sha256(content).hexdigest(), items, labels)


def _read_bytes(source: str) -> bytes:
    try:
        if source == FROM_TIMM:
            # as timm itself reads it; bench ships no copy
            return pkgutil.get_data("timm.data", "_info/imagenet_real_labels.json") or b""
        return read_regular(Path(source).expanduser(), _MAX_BYTES)
    except OSError as error:
        raise ConfigError(
            f"real_labels cannot be read ({error}); name the file real.json of its authors, or real_labels={FROM_TIMM}"
        ) from error


def _parse_lists(source: str, content: bytes) -> list[list[int]]:
    try:
        lists = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"real_labels {source} is not JSON ({error}); fetch it again") from error
    # the position in the list says which image is meant, so a shorter list cannot be used
    is_whole = isinstance(lists, list) and len(lists) == VAL_IMAGES
    if not is_whole or not all(isinstance(each, list) and all(map(_is_class, each)) for each in lists):
        raise ConfigError(
            f"real_labels {source} is not a list of {VAL_IMAGES:,} lists of classes from 0 to 999; give the file "
            "real.json of its authors"
        )
    found: list[list[int]] = lists
    return found


def _is_class(label: object) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 1000
