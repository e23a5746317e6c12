"""How a metric's number follows from the items of a run: what a task declares and a record keeps. Imports no numpy."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

StatisticKind = Literal["mean", "class_mean", "area_ratio", "function"]

AREA_METRIC_NAMES = ("mIoU", "mIoU_all", "aAcc", "mAcc")
"""What ``segmentation_scores`` makes of areas that were summed over the images."""

_COMPARISON = re.compile(r"(\S+) (==|<) (\S+)")


class ColumnComparison(NamedTuple):
    """A column beside another one, or beside a number."""

    left: str
    operator: Literal["==", "<"]
    right: str | float


@dataclass(frozen=True)
class MetricStatistic:
    """How a metric follows from a run's per-item table, a row an item.

    A column is named as in the table. It may also be a comparison of a column with another one or with a number:
    ``label == prediction`` and ``place < 5`` are 100 where they hold and 0 elsewhere; their mean is a share in percent.

    Attributes:
        kind: what is done with the columns.
            ``mean``: the mean of one column.
            ``class_mean``: the mean over classes of the mean within each class; columns: the value, then the class.
            ``area_ratio``: a ratio of sums of areas, as mIoU is. The one column names an entry of the record's
            ``details``, which names a file of pixel areas (n, 3, classes); ``function`` is one of
            ``AREA_METRIC_NAMES``.
            ``function``: a function of a set of rows. ``function`` is its name among the entry points of group
            ``bench.statistics``.
        columns: what the number is made of.
        function: see ``kind``; ``None`` for a mean.
        text_columns: further columns of a ``function``, which it gets as text; those of ``columns`` are numbers.

    Raises:
        ValueError: fields that do not fit the kind.
    """

    kind: StatisticKind
    columns: tuple[str, ...]
    function: str | None = None
    text_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {"mean": 1, "class_mean": 2, "area_ratio": 1}
        if self.kind in counts and len(self.columns) != counts[self.kind]:
            raise ValueError(f"a metric of kind {self.kind} has {counts[self.kind]} columns, not {len(self.columns)}")
        if self.kind == "area_ratio" and self.function not in AREA_METRIC_NAMES:
            raise ValueError(f"areas give {', '.join(AREA_METRIC_NAMES)}, not {self.function}")
        if self.kind == "function" and not (self.function and (self.columns or self.text_columns)):
            raise ValueError("a metric of kind function names its function, and one column or more")
        if self.kind in ("mean", "class_mean") and self.function is not None:
            raise ValueError(f"a metric of kind {self.kind} has no function, so {self.function!r} would not be used")
        if self.kind != "function" and self.text_columns:
            raise ValueError(f"a metric of kind {self.kind} has no text columns")


def parse_comparison(column: str) -> ColumnComparison | None:
    """The two sides of a comparison; ``None`` for a plain column.

    >>> parse_comparison("place < 5")
    ColumnComparison(left='place', operator='<', right=5.0)
    """
    found = _COMPARISON.fullmatch(column)
    if found is None:
        return None
    right: str | float = found[3]
    with contextlib.suppress(ValueError):
        right = float(right) if math.isfinite(float(right)) else right
    return ColumnComparison(found[1], "==" if found[2] == "==" else "<", right)
