"""The file ``predictions.csv``: one row for each image, as ``bench score`` reads it. Imports no torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.files import write_atomic

PREDICTIONS_FILE = "predictions.csv"
PREDICTION_COLUMNS = ("file", "class", "index", "probability", "top5")
NUM_TOP = 5


class ClassPrediction(NamedTuple):
    """One row of ``predictions.csv``.

    Attributes:
        file: name of the image within its data set, or its path.
        class_name: name of the predicted class, "" if nobody says it.
        class_index: number of the predicted class.
        probability: its probability, 0 to 1.
        top5: the five most probable classes, the most probable first: their names, or numbers if nobody says them.
    """

    file: str
    class_name: str
    class_index: int
    probability: float
    top5: tuple[str | int, ...]


class RankedClasses(NamedTuple):
    """What a classifier says of an image: the most probable classes, at most five, and the probability of the first."""

    classes: tuple[int, ...]
    probability: float

    def name_image(self, file: str, class_names: Sequence[str] | None) -> ClassPrediction:
        """Return the row of an image.

        Args:
            file: its name.
            class_names: name of each class; ``None`` if nobody says them.
        """
        first = self.classes[0]
        name = class_names[first] if class_names else ""
        top = tuple(class_names[each] for each in self.classes) if class_names else self.classes
        return ClassPrediction(file, name, first, self.probability, top)


def rank_classes(probabilities: NDArray[np.float32]) -> list[RankedClasses]:
    """Return the most probable classes of each image; of equal ones that with the lower number comes first.

    Args:
        probabilities: probability of each class, (batch, classes).

    >>> rank_classes(np.array([[0.25, 0.25, 0.5]], np.float32))
    [RankedClasses(classes=(2, 0, 1), probability=0.5)]
    """
    # a stable sort keeps equal ones in the order of their numbers, as argmax does
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :NUM_TOP]
    return [
        RankedClasses(tuple(top), float(row[top[0]])) for top, row in zip(order.tolist(), probabilities, strict=True)
    ]


def write_predictions(path: Path, predictions: Iterable[ClassPrediction]) -> None:
    """Write predictions atomically, with the columns ``file, class, index, probability, top5``.

    Args:
        path: the file.
        predictions: the rows; the five classes are written as a JSON list.
    """
    text = io.StringIO()
    # the same bytes on every system
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PREDICTION_COLUMNS)
    # names of classes may hold commas, spaces and slashes (F/A-18), so a list of them needs a format of its own
    for row in predictions:
        writer.writerow(
            (row.file, row.class_name, row.class_index, row.probability, json.dumps(row.top5, ensure_ascii=False))
        )
    write_atomic(path, text.getvalue())
