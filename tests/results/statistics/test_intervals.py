from __future__ import annotations

from math import sqrt

import pytest
from scipy.stats import binomtest

from results.statistics.intervals import wilson_interval


@pytest.mark.parametrize(("right", "n"), [(97, 100), (0, 10), (10, 10), (351, 359)])
def test_wilson_equals_its_formula(right: int, n: int) -> None:
    z, p = 1.959963984540054, right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = wilson_interval(right, n, resampling_unit="images")
    assert (found.low, found.high) == pytest.approx((100 * (centre - half), 100 * (centre + half)), abs=1e-9)


def test_wilson_is_scipys_to_the_last_bit() -> None:
    """Intervals stand in records, which ``bench verify`` recomputes: the hypothesis that is tested must not matter."""
    for n in (2, 24, 359, 10_000):
        for right in {0, 1, n // 3, n // 2, n - 1, n}:
            for level in (0.9, 0.95):
                plain = binomtest(right, n).proportion_ci(confidence_level=level, method="wilson")
                found = wilson_interval(right, n, resampling_unit="images", level=level)
                assert (found.low, found.high) == (100 * plain.low, 100 * plain.high)
