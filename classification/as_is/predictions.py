"""The file ``predictions.csv``: one row for each image, as ``bench score`` reads it. Imports no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.files import write_atomic

PREDICTIONS_FILE = "predictions.csv"
NUM_TOP = 5


class ImagePrediction(NamedTuple):
    """One row of ``predictions.csv``.

    Attributes:
        file: name of the image within its data set, or its path.
        class_name: name of the predicted class, "" if nobody says it.
        class_index: number of the predicted class.
        probability: its probability, 0 to 1.
        top5: numbers of the five most probable classes, the most probable first.
    """

    file: str
    class_name: str
    class_index: int
    probability: float
    top5: tuple[int, ...]


def rank_classes(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the most probable classes of each image; of equal ones that with the lower number comes first.

    Args:
        probabilities: probability of each class, (batch, classes).

    Returns:
        Numbers of at most five classes, (batch, 5).
    """
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :NUM_TOP]


def write_predictions(path: Path, predictions: Iterable[ImagePrediction]) -> None:
    """Write predictions atomically, with the columns ``file, class, index, probability, top5``.

    Args:
        path: the file.
        predictions: the rows; the five classes are written with spaces between them.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "class", "index", "probability", "top5"))
    for row in predictions:
        writer.writerow((row.file, row.class_name, row.class_index, row.probability, " ".join(map(str, row.top5))))
    write_atomic(path, text.getvalue())
