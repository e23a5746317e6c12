"""The base class of everything that is stored as strict JSON or TOML, its types, and its errors in one sentence.

Such a file may come from anybody. The types hold what a value can be at all, so that no later code divides by zero,
opens a path outside of a folder or descends without end. Every file that bench has written satisfies them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from foundation.display_text import shorten_value

MAX_DEPTH = 100
"""Levels of nested JSON that are read. Settings have up to five; code that walks through them calls itself per level,
and Python ends a program that does so about a thousand times."""

MAX_MAGNITUDE = 1e60
"""The largest number that counts as measured. The fourth power of a larger one, which variances of variances need,
would come close to what a floating-point number can hold (1e308)."""

MAX_INTEGER = 2**63 - 1
"""The largest integer that every format and library holds."""

MAX_NAME = 4_096
"""Characters of a name; a path has no more."""


def _require_finite(value: float) -> float:
    # NaN and infinity are not JSON, and a NaN would compare as neither better nor worse on every board
    if not math.isfinite(value):
        raise ValueError("must be a finite number; use null for what was not measured")
    if abs(value) > MAX_MAGNITUDE:
        raise ValueError(f"must be a number between -{MAX_MAGNITUDE:g} and {MAX_MAGNITUDE:g}")
    return value


def _require_short(name: str) -> str:
    # not by a field's max_length, which does not count the letters of a file name that is not UTF-8
    if len(name) > MAX_NAME:
        raise ValueError(f"must have at most {MAX_NAME:,} characters, not {len(name):,}")
    return name


def require_plain_name(name: str) -> str:
    """Return a name of a file in a known folder.

    Raises:
        ValueError: it could lead out of that folder, or is no name that a file can have.
    """
    if name in ("", ".", "..") or len(name) > 255 or any(letter in "/\\" or letter < " " for letter in name):
        raise ValueError("must be the name of a file in the folder, without any folder or control character in it")
    return name


def require_plain_values(value: Any) -> Any:
    """Return nested lists and dictionaries from JSON.

    Raises:
        ValueError: they are nested too deeply, or hold a number that is not finite or an integer of more than 64 bits.
    """
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:  # no recursion: this is what limits it
        group, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested too deeply, in more than {MAX_DEPTH} levels")
        for name, each in group.items() if isinstance(group, dict) else enumerate(group):
            kind = type(each)
            if kind is dict or kind is list or kind is tuple:
                pending.append((each, depth + 1))
            elif kind is int and abs(each) > 2 * MAX_INTEGER + 1:
                raise ValueError(f"{shorten_value(name)} in it is an integer of more than 64 bits")
            elif kind is float and not math.isfinite(each):
                raise ValueError(f"{shorten_value(name)} in it is not a finite number; null means not measured")
    return value


FiniteFloat = Annotated[float, AfterValidator(_require_finite)]
"""A number that was measured or set."""

Name = Annotated[str, AfterValidator(_require_short)]
"""A name, or a text of that length."""

FileName = Annotated[str, AfterValidator(require_plain_name)]
"""The name of a file in a known folder."""

Integer = Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
"""A whole number of 64 bits."""

PlainSettings = Annotated[dict[str, Any], AfterValidator(require_plain_values)]
"""Anything that JSON can hold under names, nested up to ``MAX_DEPTH`` levels."""

_MAX_QUOTED = 80
"""Number of characters of a wrong value that an error message quotes."""

_MAX_FAULTS = 20
_MAX_FAULT_TEXT = 500
"""How many faults a message has, and characters of each."""


class StrictModel(BaseModel):
    """Base class of all parts of a record: frozen, without unknown fields, without silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def load_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Parse foreign JSON as ``json.loads`` does.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or has a number that is not finite or of more than 64 bits.
    """
    try:
        content = json.loads(text, parse_constant=parse_constant)
    except RecursionError as error:
        raise ValueError(f"it is nested too deeply, in more than {MAX_DEPTH} levels") from error
    return require_plain_values([content])[0]


def format_validation_errors(error: ValidationError) -> str:
    """Return the faults of a validation error in one line: ``field: what is wrong; ...``; at most 20 of them."""
    faults = []
    found = error.errors()
    for fault in found[:_MAX_FAULTS]:
        place = _cut(".".join(str(part) for part in fault["loc"]))
        what = "unknown field" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
        # quote short values only: a nested or long input would flood the message
        # else the input is the whole text, or a sentence of our own names it
        is_value = fault["type"] not in ("extra_forbidden", "json_invalid", "value_error")
        if is_value and isinstance(fault.get("input"), str | int | float | None):
            text = repr(fault["input"])
            what += f", not {text if len(text) <= _MAX_QUOTED else f'{text[:_MAX_QUOTED]} ...'}"
        faults.append(_cut(f"{place}: {what}" if place else what))
    more = [f"and {len(found) - _MAX_FAULTS:,} more"] if len(found) > _MAX_FAULTS else []
    return "; ".join([*faults, *more])


def _cut(text: str) -> str:
    # a name in a foreign file, and a sentence that quotes one, may have any length
    return text if len(text) <= _MAX_FAULT_TEXT else f"{text[:_MAX_FAULT_TEXT]} ..."
