"""The base class of everything that is stored as strict JSON or TOML, and its validation errors in one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError


def _require_finite(value: float) -> float:
    # NaN and infinity are not JSON, and a NaN would compare as neither better nor worse on every board
    if not math.isfinite(value):
        raise ValueError("must be a finite number; use null for what was not measured")
    return value


FiniteFloat = Annotated[float, AfterValidator(_require_finite)]

_MAX_QUOTED = 80
"""Number of characters of a wrong value that an error message quotes."""


class StrictModel(BaseModel):
    """Base class of all parts of a record: frozen, without unknown fields, without silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def load_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Parse foreign JSON as ``json.loads`` does; also where it is nested too deeply, the error is a ``ValueError``."""
    try:
        return json.loads(text, parse_constant=parse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def format_validation_errors(error: ValidationError) -> str:
    """Return all faults of a validation error in one line: ``field: what is wrong; ...``."""
    faults = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"])
        what = "unknown field" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
        # quote short values only: a nested or long input would flood the message
        # else the input is the whole text, or a sentence of our own names it
        is_value = fault["type"] not in ("extra_forbidden", "json_invalid", "value_error")
        if is_value and isinstance(fault.get("input"), str | int | float | None):
            text = repr(fault["input"])
            what += f", not {text if len(text) <= _MAX_QUOTED else f'{text[:_MAX_QUOTED]} ...'}"
        faults.append(f"{place}: {what}" if place else what)
    return "; ".join(faults)
