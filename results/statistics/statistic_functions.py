"""Functions of a set of rows that metrics name: entry points of group ``bench.statistics``. Imports no torch.

A function takes the columns of some rows by name, arrays of one length, and returns a number. It has to work on any
subset of the rows, because its interval comes from leaving groups of rows out in turn.
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
    """A metric's function is not installed, or cannot be imported: the number can be neither checked nor ranked."""


def _require_callable(name: str, value: object) -> StatisticFunction:
    if not callable(value):
        raise TypeError(f"a statistic is a function, not {type(value).__name__}")
    return cast(StatisticFunction, value)


STATISTIC_FUNCTIONS: Registry[StatisticFunction] = Registry("statistic", "bench.statistics", _require_callable)
"""None is ours: the metrics of bench's own tasks are means and ratios of areas."""


def load_statistic_function(name: str) -> StatisticFunction:
    """The function of this name.

    Raises:
        MissingFunctionError: no installed package has it, or importing it fails.
    """
    try:
        return STATISTIC_FUNCTIONS.get(name)
    except UnknownNameError as error:
        raise MissingFunctionError(
            f"the metric's function {name!r} is not installed; install the package that its task came "
            "with (entry points of group bench.statistics)"
        ) from error
    except UserError as error:
        raise MissingFunctionError(str(error)) from error


def describe_statistic_function(name: str) -> dict[str, str]:
    """What tells a function from others of its name, for keys of what is kept on disk.

    The version of its package stands for its code, and the hash of its source file for code that changed without a
    new version, as in a package that is installed in place.
    """
    try:
        function = load_statistic_function(name)
    except MissingFunctionError as error:
        return {"name": name, "missing": str(error)}
    try:
        source = sha256_file(Path(inspect.getfile(inspect.unwrap(function))))
    except (TypeError, OSError):  # compiled, or an object that is called like a function
        source = ""
    return {"name": name, "origin": STATISTIC_FUNCTIONS.get_origin(name), "source": source}


def evaluate_statistic(name: str, columns: ColumnArrays) -> float:
    """What a function gives for some rows.

    Args:
        name: of the function.
        columns: by name, arrays (n,).

    Raises:
        MissingFunctionError: it is not installed.
        RecordError: it fails, or gives something that is not a finite number.
    """
    function = load_statistic_function(name)
    origin = STATISTIC_FUNCTIONS.get_origin(name)
    try:
        value = float(function(columns))
    except Exception as error:
        rows = len(next(iter(columns.values())))
        raise RecordError(
            f"the function {name!r} of {origin} fails on {rows} rows: {type(error).__name__}: {error}"
        ) from error
    if not math.isfinite(value):
        raise RecordError(f"the function {name!r} of {origin} gives {value}, which is not a finite number")
    return value
