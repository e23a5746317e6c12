"""How property-based tests are run here: the same examples each time, few of them, and no limit of time."""

from hypothesis import HealthCheck, settings

FEW = settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""Decorator; a test that fails names the example, which can be kept as a plain test."""
