"""The metrics of detection as tasks declare them. Imports no torch."""

from __future__ import annotations

from engine.task import MetricSpec
from results.statistics.average_precision.metric_names import COCO_METRIC_NAMES, KIND_PREFIXES, SCORE_NAMES
from results.statistics.metric_statistics import MetricStatistic

__all__ = ["KIND_PREFIXES", "MATCHES_ENTRY", "SCORE_NAMES", "make_metric_specs"]

MATCHES_ENTRY = "matches"
"""The entry of a record's details that names the file of matches and its SHA-256."""


def make_metric_specs() -> tuple[MetricSpec, ...]:
    """Return the metrics of boxes and of masks, box AP first."""
    return tuple(
        MetricSpec(name, "%", True, MetricStatistic("average_precision", (MATCHES_ENTRY,), name))
        for name in COCO_METRIC_NAMES
    )
