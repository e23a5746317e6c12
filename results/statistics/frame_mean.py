"""The mean over the frames of all sequences, from values per sequence: the metrics of GOT-10k. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

COUNTED_COLUMN = "counted"
"""The column with the number of frames that a sequence's value is the mean of."""


def compute_frame_mean(columns: Mapping[str, NDArray[Any]]) -> float:
    """Return the mean of a column, weighted by the number of frames that count in each row.

    Args:
        columns: the column of values, and ``counted``, each (n,).

    Raises:
        ValueError: no frame counts, or there is not exactly one column of values.

    Example:
        >>> compute_frame_mean({"AO": np.array([51.2, 29.4]), "counted": np.array([4.0, 9.0])}).__round__(4)
        36.1077
    """
    (values,) = (cells for name, cells in columns.items() if name != COUNTED_COLUMN)
    weights = columns[COUNTED_COLUMN]
    if not weights.sum() > 0:
        raise ValueError("no frame counts")
    return float((values * weights).sum() / weights.sum())
