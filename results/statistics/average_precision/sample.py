"""The sample of an average precision: what intervals and paired tests are computed from.

AP is no mean over images, so groups of images are left out in turn (``group_jackknife``). But it is not smooth either:
its curve is read at 101 recalls, and when some objects leave, all points move to other detections. That hardly matters
for the spread, and it spoils the correction of the bias, which multiplies the mean shift by the number of groups: in
the simulation of docs/explanation/statistics.md the corrected AP50 of 200 images had a standard deviation of 11.8
points, AP50 itself 4.0, with a bias of 0.6. So the values of the groups are moved to have AP itself as their mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foundation.array_types import FloatArray
from results.records.identity import compute_digest
from results.statistics import statistics_cache
from results.statistics.average_precision.match_tables import MatchTable
from results.statistics.average_precision.scores import compute_without_groups
from results.statistics.estimates import MetricSample
from results.statistics.group_jackknife import JACKKNIFE_VERSION, assign_groups, load_kept_values, sample_from_groups

PRECISION_VERSION = 1
"""Increase it whenever ``compute_without_groups`` gives other values; it is part of the cache key."""


def load_or_compute_without_groups(
    table: MatchTable, score: str, item_ids: Sequence[str], sha256s: Sequence[str]
) -> FloatArray:
    """Return the number without each group of images, (G,); the values are cached in ``$BENCH_CACHE/statistics``.

    Args:
        table: the matches of all images.
        score: a name in ``scores.SCORE_DEFINITIONS``.
        item_ids: names of the images, (n,).
        sha256s: SHA-256 of the table of items and of the file of matches, with the kind: the cache key.
    """
    groups = assign_groups(item_ids)
    key = compute_digest({"version": [JACKKNIFE_VERSION, PRECISION_VERSION], "score": score, "files": list(sha256s)})
    # the shape has draws first, as that of functions; a detector has one
    kept = load_kept_values(key, (1, int(groups.max()) + 1))
    if kept is not None:
        return np.asarray(kept[0])
    found = compute_without_groups(table, score, groups)
    statistics_cache.store_statistics(key, [found.tolist()])
    return found


def sample_from_precisions(estimates: FloatArray, without: FloatArray, item_ids: Sequence[str]) -> MetricSample:
    """Build the sample of an average precision.

    Args:
        estimates: the number of all images by seed, (S,).
        without: the number without each group of images, by seed, (S, G).
        item_ids: names of the images, from which their groups follow.
    """
    sample = sample_from_groups(estimates, without, np.bincount(assign_groups(item_ids)))
    # only the mean moves: the deviations, and with them the variance, are those of the jackknife
    values = sample.item_values
    return sample._replace(item_values=values - values.mean(1, keepdims=True) + estimates[:, None])
