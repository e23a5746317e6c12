"""From what a probe predicts to the outcome of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from classification.metrics import ScoredItem, compute_accuracies, rank_true_class, to_record_metrics
from classification.probes.feature_extraction import FrozenBackbone
from engine.calibration.scope import end_calibration
from engine.task import Task, TaskOutcome
from foundation.errors import NonFiniteError
from results.records.record import MetricValue, ModelSelection


def score_rows(labels: NDArray[np.int64], probabilities: NDArray[np.float64], first_item: int = 0) -> list[ScoredItem]:
    """Make one row per item.

    Args:
        labels: true classes, (n,).
        probabilities: probability of each class, (n, classes).
        first_item: index of the first item; the others follow.

    Raises:
        NonFiniteError: a probability is not finite; argmax would call it the first class.
    """
    good = np.isfinite(probabilities).all(1)
    if not good.all():
        item = first_item + int(np.flatnonzero(~good)[0])
        raise NonFiniteError(
            f"the outputs for test image {item} are not finite, so it has no score: the classifier diverged; choose a "
            "stronger regularization, or a lower rate"
        )
    columns = (labels, probabilities.argmax(1), probabilities.max(1), rank_true_class(labels, probabilities))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [ScoredItem(item, *row) for item, row in enumerate(rows, first_item)]


def build_accuracy_outcome(
    frozen: FrozenBackbone,
    task: Task,
    item_rows: Sequence[ScoredItem],
    selection: ModelSelection,
    phase_seconds: Mapping[str, float],
    details: Mapping[str, Any] = MappingProxyType({}),
) -> TaskOutcome:
    """Score the test items and build the outcome of a protocol that reads test once.

    Args:
        frozen: the backbone, and the number of test items.
        task: gives the metrics.
        item_rows: one row per test item.
        selection: how the tested classifier was chosen.
        phase_seconds: duration of each phase, seconds.
        details: further measurements for the record.

    Raises:
        IncompleteError: a test item is missing or was scored twice.
    """
    end_calibration()
    expected = len(frozen.splits["test"])
    metrics = to_record_metrics(task.metrics, compute_accuracies(item_rows, expected), expected)
    return build_outcome(frozen, metrics, ScoredItem._fields, item_rows, selection, phase_seconds, details)


def build_outcome(
    frozen: FrozenBackbone,
    metrics: Mapping[str, MetricValue],
    item_columns: tuple[str, ...],
    item_rows: Sequence[Sequence[str | int | float | None]],
    selection: ModelSelection,
    phase_seconds: Mapping[str, float],
    details: Mapping[str, Any] = MappingProxyType({}),
) -> TaskOutcome:
    """Build the outcome of a run, with the load report and the size of the backbone.

    Args:
        frozen: the backbone.
        metrics: the scores, by metric name.
        item_columns: column names of ``item_rows``.
        item_rows: one row per scored item.
        selection: how the tested classifier was chosen.
        phase_seconds: duration of each phase, seconds.
        details: further measurements for the record.
    """
    report, file = frozen.created.load_report, frozen.created.weight_file
    model: nn.Module = frozen.created.model
    return TaskOutcome(
        metrics=metrics,
        item_columns=item_columns,
        item_rows=item_rows,
        selection=selection,
        load_report=report,
        checkpoint_format=file.format if file else None,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        phase_seconds=dict(phase_seconds),
        details={**details, **(frozen.network.details if frozen.network else {})},
    )
