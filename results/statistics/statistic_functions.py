"""Metrics that are a function of a set of rows: entry points of the group ``bench.statistics``. Never imports torch.

A function takes the columns of some rows as arrays of equal length, by name, and returns a number. It must work on any
subset of the rows, because its interval is computed by leaving groups of rows out in turn.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from foundation.errors import RecordError, UnknownNameError, UserError
from foundation.files import sha256_file
from foundation.registry import Registry

ColumnArrays = Mapping[str, NDArray[Any]]
StatisticFunction = Callable[[ColumnArrays], float]


class MissingFunctionError(RecordError):
    """A metric's function is not installed or cannot be imported, so the number can neither be checked nor ranked."""


def _require_callable(name: str, value: object) -> StatisticFunction:
    if not callable(value):
        raise TypeError(f"a statistic is a function, not {type(value).__name__}")
    return cast(StatisticFunction, value)


STATISTIC_FUNCTIONS: Registry[StatisticFunction] = Registry("statistic", "bench.statistics", _require_callable)
STATISTIC_FUNCTIONS.register("frame_mean", "results.statistics.statistic_functions:compute_frame_mean")
"""Bench registers one itself; the other metrics of its own tasks are means and ratios of areas."""

COUNTED_COLUMN = "counted"
"""The column with the number of frames that a sequence's value is the mean of."""


def compute_frame_mean(columns: ColumnArrays) -> float:
    """Return the mean of a column over the frames of all sequences, from its means over those of each: as GOT-10k does.

    Args:
        columns: the column of values, and ``counted``, each (n,).

    Raises:
        ValueError: no frame counts, or there is not exactly one column of values.
    """
    (values,) = (cells for name, cells in columns.items() if name != COUNTED_COLUMN)
    weights = columns[COUNTED_COLUMN]
    # leaving a group of rows out may leave sequences whose frames were all excluded
    if not weights.sum() > 0:
        raise ValueError("no frame counts")
    return float((values * weights).sum() / weights.sum())


def load_statistic_function(name: str) -> StatisticFunction:
    """Return the function with this name.

    Raises:
        MissingFunctionError: no installed package has the function, or importing it fails.
    """
    try:
        return STATISTIC_FUNCTIONS.get(name)
    except UnknownNameError as error:
        raise MissingFunctionError(
            f"the metric's function {name!r} is not installed; install the package that the task came "
            "with (entry points of group bench.statistics)"
        ) from error
    except UserError as error:
        raise MissingFunctionError(str(error)) from error


def describe_statistic_function(name: str) -> dict[str, str]:
    """Return what distinguishes a function from other functions of the same name, for the keys of cached values.

    Besides the version of the function's package, this has the SHA-256 of the function's source file, because the code
    of a package that is installed in editable mode changes without a new version.
    """
    try:
        function = load_statistic_function(name)
    except MissingFunctionError as error:
        # a key of its own, so that values cached without the function are not found once it is installed
        return {"name": name, "missing": str(error)}
    try:
        source = sha256_file(Path(inspect.getfile(inspect.unwrap(function))))
    except (TypeError, OSError):  # compiled code, or a callable object: neither has a source file
        source = ""
    return {"name": name, "origin": STATISTIC_FUNCTIONS.get_origin(name), "source": source}


def evaluate_statistic(name: str, columns: ColumnArrays) -> float:
    """Return the value of a function for some rows.

    Args:
        name: name of the function.
        columns: columns of the rows by name, each (n,).

    Raises:
        MissingFunctionError: the function is not installed.
        RecordError: the function fails, or returns something that is not a finite number.
    """
    function = load_statistic_function(name)
    origin = STATISTIC_FUNCTIONS.get_origin(name)
    try:
        value = float(function(columns))
    except Exception as error:  # foreign code may raise anything; the board has to go on without this row
        rows = len(next(iter(columns.values())))
        raise RecordError(
            f"the function {name!r} of {origin} fails on {rows} rows: {type(error).__name__}: {error}"
        ) from error
    if not math.isfinite(value):
        raise RecordError(f"the function {name!r} of {origin} gives {value}, which is not a finite number")
    return value
