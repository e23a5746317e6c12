"""Limits of what a model may cost, as users write them: ``10ms``, ``50MB``, ``2GMACs``, ``6Mparams``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from foundation.errors import UserError

LimitedCost = Literal["latency", "size", "macs", "parameters"]

EXAMPLES = "10ms, 50MB, 2GMACs or 6Mparams"

_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}

_UNITS: dict[str, tuple[LimitedCost, float]] = {
    "ms": ("latency", 1.0),
    "s": ("latency", 1e3),
    **{f"{prefix}b": ("size", factor) for prefix, factor in _PREFIXES.items()},
    **{f"{prefix}ib": ("size", 1024.0**power) for power, prefix in enumerate(("k", "m", "g"), start=1)},
    **{f"{prefix}macs": ("macs", factor) for prefix, factor in _PREFIXES.items()},
    **{f"{prefix}params": ("parameters", factor) for prefix, factor in _PREFIXES.items()},
}
"""Unit in lower case: what it measures, and its size in milliseconds, bytes, operations or parameters."""

# without a sign and without an exponent: a limit is a plain number of a unit
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.ASCII)


class CostLimit(NamedTuple):
    """A limit of one cost; a cost that is equal to it is within it.

    Attributes:
        cost: what is limited.
        maximum: milliseconds for one image, bytes, multiply-accumulates per image, or number of parameters.
        text: as the user wrote it.
    """

    cost: LimitedCost
    maximum: float
    text: str


def parse_cost_limits(texts: Iterable[str]) -> tuple[CostLimit, ...]:
    """Parse limits, at most one of each cost.

    Raises:
        UserError: a text is no limit, or two texts limit the same cost.

    >>> [(limit.cost, limit.maximum) for limit in parse_cost_limits(["10ms", "50MB"])]
    [('latency', 10.0), ('size', 50000000.0)]
    """
    limits: dict[LimitedCost, CostLimit] = {}
    for text in texts:
        # no unit differs from another one by its case alone
        found = _LIMIT.fullmatch(text.strip().lower())
        if found is None or found[2] not in _UNITS:
            raise UserError(f"--under {text} is no limit; write a number with its unit: {EXAMPLES}")
        cost, size = _UNITS[found[2]]
        if cost in limits:
            raise UserError(f"--under {limits[cost].text} and {text} both limit the {cost}; give one of them")
        limits[cost] = CostLimit(cost, float(found[1]) * size, text.strip())
    return tuple(limits.values())
