"""How metrics are computed from items in records up to schema 3, which do not state it."""

from __future__ import annotations

from collections.abc import Collection

from results.statistics.metric_statistics import AREA_METRIC_NAMES, MetricStatistic

LAST_LEGACY_VERSION = 3
"""The last schema version without ``statistic``; later records state the statistic of each metric that has one."""

LEGACY_STATISTICS: dict[str, MetricStatistic] = {
    "top1": MetricStatistic("mean", ("label == prediction",)),
    "top5": MetricStatistic("mean", ("place < 5",)),  # place: rank of the true class among the predictions, from 0
    "mean_per_class": MetricStatistic("class_mean", ("label == prediction", "label")),
    **{name: MetricStatistic("area_ratio", ("areas",), name) for name in AREA_METRIC_NAMES},
}
"""Statistic by metric. Every other metric was the mean of the column with the metric's name."""

CLASSIFICATION_COLUMNS = {"label", "prediction", "place"}
"""The columns that the per-item table of every classification task had."""


def infer_legacy_statistic(metric: str, item_columns: Collection[str], has_areas: bool) -> MetricStatistic | None:
    """Return how a metric of an old record is computed from its items, or ``None`` if it cannot be computed from them.

    Args:
        metric: name of the metric.
        item_columns: names of the columns of the per-item table.
        has_areas: whether there is a file of pixel areas next to the table.
    """
    # a task of another domain may use the same metric name, so the columns have to be those of classification, too
    named = LEGACY_STATISTICS.get(metric)
    if named is not None and (has_areas if named.kind == "area_ratio" else {*item_columns} >= CLASSIFICATION_COLUMNS):
        return named
    return MetricStatistic("mean", (metric,)) if metric in item_columns else None
