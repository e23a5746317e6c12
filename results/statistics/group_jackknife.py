"""The uncertainty of a metric that is a function of a set of rows: groups of items are left out in turn.

The delete-a-group jackknife (Kott 2001). With G groups of about equal size, theta of all rows and theta_(-g) without
group g, the pseudo-values G theta - (G - 1) theta_(-g) play the part of G independent values: their mean is theta freed
of its bias of order 1 / n, and the variance of that mean is the variance of theta. It asks nothing of the function but
that it is smooth, and costs 50 calls however many items there are. Below 100 items each item is a group of its own,
which is the usual jackknife.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from foundation.array_types import FloatArray, IntArray
from results.records.identity import compute_digest
from results.statistics import statistics_cache
from results.statistics.estimates import MetricSample
from results.statistics.metric_statistics import MetricStatistic
from results.statistics.statistic_functions import ColumnArrays, describe_statistic_function, evaluate_statistic

NUM_GROUPS = 50
MIN_ITEMS_FOR_GROUPS = 100

JACKKNIFE_VERSION = 1
"""Raised whenever the groups, or what is kept of them, change; part of the key of what is kept on disk."""


def assign_groups(item_ids: Sequence[str]) -> IntArray:
    """The group of each item, (n,), from 0.

    Items are dealt to the groups in the order of the hashes of their names. So the groups do not follow the order of
    the files (often by class), their sizes differ by one at most, and two runs on the same items have the same groups.
    """
    if len(item_ids) < MIN_ITEMS_FOR_GROUPS:
        return np.arange(len(item_ids))
    hashes = [hashlib.sha256(name.encode()).digest() for name in item_ids]
    groups = np.empty(len(item_ids), np.int64)
    groups[sorted(range(len(hashes)), key=hashes.__getitem__)] = np.arange(len(item_ids)) % NUM_GROUPS
    return groups


def evaluate_without_groups(
    evaluate: Callable[[ColumnArrays], float], columns: ColumnArrays, groups: IntArray
) -> FloatArray:
    """The metric without each group in turn, (G,).

    Args:
        evaluate: the metric of some rows.
        columns: of all rows, by name, (n,).
        groups: the group of each row, (n,), from 0.
    """
    kept = [np.flatnonzero(groups != group) for group in range(int(groups.max()) + 1)]
    return np.array([evaluate({name: cells[rows] for name, cells in columns.items()}) for rows in kept])


def load_or_evaluate_without_groups(
    statistic: MetricStatistic, columns: ColumnArrays, item_ids: Sequence[str], table_sha256: str
) -> FloatArray:
    """By draw and group the metric without the group, (D, G); kept in ``$BENCH_CACHE/statistics``.

    Args:
        statistic: of kind ``function``.
        columns: by name, by draw and item, (D, n).
        item_ids: names of the items, (n,).
        table_sha256: of the table that the columns are from; with the function's name, version and source it is the
            key of what is kept.

    Raises:
        RecordError: the function is not installed, or fails without one of the groups.
    """
    assert statistic.function is not None
    groups = assign_groups(item_ids)
    num_draws = len(next(iter(columns.values())))
    made_of = {
        "version": JACKKNIFE_VERSION,
        "function": describe_statistic_function(statistic.function),
        "columns": [statistic.columns, statistic.text_columns],
        "table": table_sha256,
    }
    key = compute_digest(made_of)
    kept = _load_kept(key, (num_draws, int(groups.max()) + 1))
    if kept is not None:
        return kept
    evaluate = partial(evaluate_statistic, statistic.function)
    draws = [{name: cells[draw] for name, cells in columns.items()} for draw in range(num_draws)]
    found = np.stack([evaluate_without_groups(evaluate, rows, groups) for rows in draws])
    statistics_cache.store_statistics(key, found.tolist())
    return found


def sample_from_groups(estimates: FloatArray, without: FloatArray, group_sizes: IntArray) -> MetricSample:
    """A metric from its values without each group in turn.

    Where sizes differ by one, a pseudo-value stands for as many items as its group has (Busing, Meijer, van der Leeden
    1999): with h = n / size, it is h theta - (h - 1) theta_(-g), it weighs 1 / h in the mean, and its squared deviation
    counts 1 / (G (h - 1)) in the variance. For equal sizes h is G, and this is the formula of the module.

    Args:
        estimates: the metric by seed, (S,).
        without: without each group, by seed, (S, G).
        group_sizes: items of each group, (G,).

    >>> values = np.array([1.0, 2.0, 6.0])  # of a mean, the pseudo-values are the values
    >>> without = (values.sum() - values) / 2
    >>> sample_from_groups(np.array([3.0]), without[None], np.array([1, 1, 1])).item_values.tolist()
    [[1.0, 2.0, 6.0]]
    """
    num_groups = len(group_sizes)
    share = group_sizes.sum() / group_sizes
    pseudo = share * estimates[:, None] - (share - 1) * without
    values = pseudo * num_groups / share
    deviations = (pseudo - values.mean(1, keepdims=True)) / np.sqrt(num_groups * (share - 1))
    return MetricSample(estimates, values, deviations, may_be_proportion=False)


def _load_kept(key: str, shape: tuple[int, int]) -> FloatArray | None:
    """What was kept, if it is whole."""
    try:
        found = np.array(statistics_cache.load_statistics(key), np.float64)
    except (TypeError, ValueError):
        return None
    return found if found.shape == shape and bool(np.isfinite(found).all()) else None
