"""How metrics follow from items in records up to schema 3, which do not say it."""

from __future__ import annotations

from collections.abc import Collection

from results.statistics.metric_statistics import AREA_METRIC_NAMES, MetricStatistic

LAST_LEGACY_VERSION = 3
"""Later records name the statistic of each metric that has one."""

LEGACY_STATISTICS: dict[str, MetricStatistic] = {
    "top1": MetricStatistic("mean", ("label == prediction",)),
    "top5": MetricStatistic("mean", ("place < 5",)),
    "mean_per_class": MetricStatistic("class_mean", ("label == prediction", "label")),
    **{name: MetricStatistic("area_ratio", ("areas",), name) for name in AREA_METRIC_NAMES},
}
"""By the metric's name. Every other metric was the mean of the column of its name."""

CLASSIFICATION_COLUMNS = {"label", "prediction", "place"}
"""What every per-item table of a classification task had."""


def infer_legacy_statistic(metric: str, item_columns: Collection[str], has_areas: bool) -> MetricStatistic | None:
    """How a metric of an old record follows from its items; ``None`` where it does not.

    Args:
        metric: its name.
        item_columns: of the per-item table.
        has_areas: whether a file of pixel areas lies beside the table.
    """
    named = LEGACY_STATISTICS.get(metric)
    if named is not None and (has_areas if named.kind == "area_ratio" else {*item_columns} >= CLASSIFICATION_COLUMNS):
        return named
    return MetricStatistic("mean", (metric,)) if metric in item_columns else None
