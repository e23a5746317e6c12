from __future__ import annotations

from math import sqrt

import pytest

from results.statistics.intervals import wilson_interval


@pytest.mark.parametrize(("right", "n"), [(97, 100), (0, 10), (10, 10), (351, 359)])
def test_wilson_equals_its_formula(right: int, n: int) -> None:
    z, p = 1.959963984540054, right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = wilson_interval(right, n, resampling_unit="images")
    assert (found.low, found.high) == pytest.approx((100 * (centre - half), 100 * (centre + half)), abs=1e-9)
