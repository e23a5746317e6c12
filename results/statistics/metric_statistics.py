"""The declaration of how a metric is computed from the items of a run. Tasks declare it and records store it.

This module does not import numpy, so that a task can be declared without loading it.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from results.statistics.average_precision.metric_names import COCO_METRIC_NAMES

StatisticKind = Literal["mean", "class_mean", "area_ratio", "average_precision", "function"]

AREA_METRIC_NAMES = ("mIoU", "mIoU_all", "aAcc", "mAcc")
"""The metrics that ``segmentation_scores`` computes from pixel areas summed over the images."""

_COMPARISON = re.compile(r"(\S+) (==|<) (\S+)")


class ColumnComparison(NamedTuple):
    """The comparison of a column with another column or with a number."""

    left: str
    operator: Literal["==", "<"]
    right: str | float


@dataclass(frozen=True)
class MetricStatistic:
    """How a metric is computed from a run's per-item table, which has one row per item.

    A column is given by its name in the table, or as the comparison of a column with another column or with a number.
    ``label == prediction`` and ``place < 5`` are 100 in the rows where they hold and 0 in the others, so that their
    mean is a percentage.

    Attributes:
        kind: how the columns are combined:

            - ``mean``: the mean of one column.
            - ``class_mean``: the mean over the classes of the mean within each class. The columns are the value and
              the class, in this order.
            - ``area_ratio``: a ratio of sums of areas, such as mIoU. The only column is the name of an entry in the
              record's ``details``, which in turn names a file of pixel areas (n, 3, classes). ``function`` is one of
              ``AREA_METRIC_NAMES``.
            - ``average_precision``: one of COCO's numbers. The only column is the name of an entry in the record's
              ``details``, which in turn names a file of matches (``average_precision/match_tables.py``). ``function``
              is one of ``COCO_METRIC_NAMES``.
            - ``function``: a function of a set of rows. ``function`` is its name among the entry points of the group
              ``bench.statistics``.
        columns: the columns from which the metric is computed; their cells are read as numbers.
        function: see ``kind``; ``None`` for ``mean`` and ``class_mean``.
        text_columns: further columns for a ``function``, whose cells it gets as text.

    Raises:
        ValueError: the fields do not fit the kind.
    """

    kind: StatisticKind
    columns: tuple[str, ...]
    function: str | None = None
    text_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Records are checked here as well, because StatisticRecord builds this class. A field that does not belong to
        # the kind is refused: it would silently have no effect on the number.
        counts = {"mean": 1, "class_mean": 2, "area_ratio": 1, "average_precision": 1}
        if self.kind in counts and len(self.columns) != counts[self.kind]:
            raise ValueError(f"a metric of kind {self.kind} has {counts[self.kind]} columns, not {len(self.columns)}")
        if self.kind == "area_ratio" and self.function not in AREA_METRIC_NAMES:
            raise ValueError(f"areas give {', '.join(AREA_METRIC_NAMES)}, not {self.function}")
        if self.kind == "average_precision" and self.function not in COCO_METRIC_NAMES:
            raise ValueError(f"matches give box_AP, mask_AP and the like, not {self.function}")
        if self.kind == "function" and not (self.function and (self.columns or self.text_columns)):
            raise ValueError("a metric of kind function names its function and at least one column")
        if self.kind in ("mean", "class_mean") and self.function is not None:
            raise ValueError(f"a metric of kind {self.kind} has no function, so {self.function!r} would not be used")
        if self.kind != "function" and self.text_columns:
            raise ValueError(f"a metric of kind {self.kind} has no text columns")


def parse_comparison(column: str) -> ColumnComparison | None:
    """Parse a column that is a comparison; return ``None`` for the name of a column.

    >>> parse_comparison("place < 5")
    ColumnComparison(left='place', operator='<', right=5.0)
    """
    found = _COMPARISON.fullmatch(column)
    if found is None:
        return None
    # a right side that reads as a finite number is a number; "nan" and "inf" stay the names of columns
    right: str | float = found[3]
    with contextlib.suppress(ValueError):
        right = float(right) if math.isfinite(float(right)) else right
    return ColumnComparison(found[1], "==" if found[2] == "==" else "<", right)
