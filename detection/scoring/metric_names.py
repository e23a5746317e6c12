"""The metrics of detection as tasks declare them. Imports no torch."""

from __future__ import annotations

from engine.task import MetricSpec

KIND_PREFIXES = ("box", "mask")
"""What is compared with the truth, as the names of metrics begin."""

SCORE_NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100")


def make_metric_specs() -> tuple[MetricSpec, ...]:
    """Return the metrics of boxes and of masks, box AP first."""
    return tuple(MetricSpec(f"{kind}_{name}", "%", True) for kind in KIND_PREFIXES for name in SCORE_NAMES)
