"""The metrics of detection as tasks declare them. Imports no torch."""

from __future__ import annotations

from engine.task import MetricSpec
from results.statistics.average_precision.metric_names import KIND_PREFIXES, SCORE_NAMES
from results.statistics.metric_statistics import MetricStatistic

__all__ = ["CLASS_SCORES_ENTRY", "COUNTS_ENTRY", "KIND_PREFIXES", "MATCHES_ENTRY", "SCORE_NAMES", "make_metric_specs"]

MATCHES_ENTRY = "matches"
"""The entry of a record's details that names the file of matches and its SHA-256."""

CLASS_SCORES_ENTRY = "AP_by_class"
"""The entry with AP by kind and name of the class."""

COUNTS_ENTRY = "counts"
"""The entry with the numbers of images, detections and ties."""


def make_metric_specs() -> tuple[MetricSpec, ...]:
    """Return the metrics of boxes and of masks, box AP first, then mask AP, and so on in pairs."""
    # tables show the first ones
    names = [f"{kind}_{score}" for score in SCORE_NAMES for kind in KIND_PREFIXES]
    return tuple(
        MetricSpec(name, "%", True, MetricStatistic("average_precision", (MATCHES_ENTRY,), name)) for name in names
    )
