"""Compare numbers that differ only by rounding, because their sums were computed in another order."""

from __future__ import annotations

ROUNDING_TOLERANCE = 1e-9
"""How far two equal numbers may be apart, as a fraction of their size (of 1 if they are smaller than 1).

It is far above the rounding error of a float64 sum over millions of items, and far below any difference that matters.
"""


def is_same_up_to_rounding(stated: float, found: float) -> bool:
    """Return whether a recomputed number equals the stated one up to rounding; always false if either is NaN."""
    # written as "<=", because every comparison with NaN is false
    return abs(stated - found) <= ROUNDING_TOLERANCE * max(1.0, abs(stated))
