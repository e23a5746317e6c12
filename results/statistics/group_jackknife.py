"""Uncertainty of a metric that is a function of a set of rows, by leaving groups of items out in turn.

This is the delete-a-group jackknife (Kott 2001). Let G be the number of groups of about equal size, theta the metric of
all rows, and theta_(-g) the metric without group g. The pseudo-values G theta - (G - 1) theta_(-g) are used as if they
were G independent values: their mean is theta without its bias of order 1 / n, and the variance of that mean estimates
the variance of theta. The method only requires that the function is smooth, and it costs 50 calls for any number of
items. With fewer than 100 items each item is a group of its own, which is the ordinary jackknife.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from foundation.array_types import FloatArray, IntArray
from foundation.hash_order import order_by_hash
from results.records.identity import compute_digest
from results.statistics import statistics_cache
from results.statistics.estimates import MetricSample
from results.statistics.metric_statistics import MetricStatistic
from results.statistics.statistic_functions import ColumnArrays, describe_statistic_function, evaluate_statistic

NUM_GROUPS = 50
MIN_ITEMS_FOR_GROUPS = 100
GROUP_SALT = "jackknife-groups-1"

JACKKNIFE_VERSION = 2
"""Increase it whenever the groups or the format of the cached values change; it is part of the cache key."""


def assign_groups(item_ids: Sequence[str]) -> IntArray:
    """Return the group of each item, (n,), numbered from 0.

    Items are sorted by the hash of their name and then assigned to the groups in turn. So the groups do not depend on
    the order of the files (which often follows the classes), their sizes differ by one at most, and two runs on the
    same items have the same groups, which makes it possible to pair them.
    """
    if len(item_ids) < MIN_ITEMS_FOR_GROUPS:
        return np.arange(len(item_ids))
    order = order_by_hash(range(len(item_ids)), GROUP_SALT, item_ids.__getitem__)
    groups = np.empty(len(item_ids), np.int64)
    # the k-th item in the order of hashes is in group k modulo 50; a hash modulo 50 would give groups of unequal size
    groups[order] = np.arange(len(item_ids)) % NUM_GROUPS
    return groups


def evaluate_without_groups(
    evaluate: Callable[[ColumnArrays], float], columns: ColumnArrays, groups: IntArray
) -> FloatArray:
    """Return the metric without each group in turn, (G,).

    Args:
        evaluate: function that returns the metric of some rows.
        columns: columns of all rows by name, each (n,).
        groups: group of each row, (n,), numbered from 0.
    """
    kept = [np.flatnonzero(groups != group) for group in range(int(groups.max()) + 1)]
    return np.array([evaluate({name: cells[rows] for name, cells in columns.items()}) for rows in kept])


def load_or_evaluate_without_groups(
    statistic: MetricStatistic, columns: ColumnArrays, item_ids: Sequence[str], table_sha256: str
) -> FloatArray:
    """Return the metric without each group, by draw, (D, G); the values are cached in ``$BENCH_CACHE/statistics``.

    Args:
        statistic: a statistic of kind ``function``.
        columns: columns by name, each by draw and item (D, n).
        item_ids: names of the items, (n,).
        table_sha256: SHA-256 of the table from which the columns were read. Together with the function's name, version
            and source code it is the cache key.

    Raises:
        RecordError: the function is not installed, or fails without one of the groups.
    """
    assert statistic.function is not None
    groups = assign_groups(item_ids)
    num_draws = len(next(iter(columns.values())))
    # the table's hash stands for the cells of the columns and the names of the items
    made_of = {
        "version": JACKKNIFE_VERSION,
        "function": describe_statistic_function(statistic.function),
        "columns": [statistic.columns, statistic.text_columns],
        "table": table_sha256,
    }
    key = compute_digest(made_of)
    # the metric itself is computed on every reading; only what needs 50 calls is kept
    kept = load_kept_values(key, (num_draws, int(groups.max()) + 1))
    if kept is not None:
        return kept
    evaluate = partial(evaluate_statistic, statistic.function)
    draws = [{name: cells[draw] for name, cells in columns.items()} for draw in range(num_draws)]
    found = np.stack([evaluate_without_groups(evaluate, rows, groups) for rows in draws])
    statistics_cache.store_statistics(key, found.tolist())
    return found


def sample_from_groups(estimates: FloatArray, without: FloatArray, group_sizes: IntArray) -> MetricSample:
    """Build the sample of a metric from its values without each group.

    The sizes of the groups may differ by one. Then a pseudo-value counts for as many items as its group has (Busing,
    Meijer, van der Leeden 1999): with h = n / size, the pseudo-value is h theta - (h - 1) theta_(-g), its weight in the
    mean is 1 / h, and the weight of its squared deviation in the variance is 1 / (G (h - 1)). If all sizes are equal,
    h = G and this is the formula in the docstring of the module.

    Args:
        estimates: the metric of each seed, (S,).
        without: the metric without each group, by seed, (S, G).
        group_sizes: number of items of each group, (G,).

    >>> values = np.array([1.0, 2.0, 6.0])  # of a mean, the pseudo-values are the values
    >>> without = (values.sum() - values) / 2
    >>> sample_from_groups(np.array([3.0]), without[None], np.array([1, 1, 1])).item_values.tolist()
    [[1.0, 2.0, 6.0]]
    """
    num_groups = len(group_sizes)
    share = group_sizes.sum() / group_sizes  # h of each group, (G,); it is G if all groups have the same size
    pseudo = share * estimates[:, None] - (share - 1) * without
    # weighted by 1 / h and scaled by G, so that the plain mean over the groups is the weighted mean
    values = pseudo * num_groups / share
    deviations = (pseudo - values.mean(1, keepdims=True)) / np.sqrt(num_groups * (share - 1))
    # a perfect score has a pseudo-value of 100 in every group, but it was found on all items, not on 50
    return MetricSample(estimates, values, deviations, float(group_sizes.sum()))


def load_kept_values(key: str, shape: tuple[int, int]) -> FloatArray | None:
    """Return the cached values (D, G), or ``None`` if there are none or they are damaged."""
    try:
        found = np.array(statistics_cache.load_statistics(key), np.float64)
    except (TypeError, ValueError):
        return None
    return found if found.shape == shape and bool(np.isfinite(found).all()) else None
