"""When two numbers are one number that was summed up in two orders."""

from __future__ import annotations

ROUNDING_TOLERANCE = 1e-9
"""How far they may be apart, as a share of their size (of 1 where they are smaller). Far above float64's rounding of a
sum over millions of items, far below any difference that means something."""


def is_same_up_to_rounding(stated: float, found: float) -> bool:
    """Whether a recomputed number is the one that was stated; never where either is NaN."""
    return abs(stated - found) <= ROUNDING_TOLERANCE * max(1.0, abs(stated))
