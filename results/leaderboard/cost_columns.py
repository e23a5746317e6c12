"""What a row's backbone costs, as its records have it; what was not measured stays ``None`` and is never 0."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from results.records.record import EfficiencyRecord, Record


class CostSummary(NamedTuple):
    """Costs of one backbone at its run's input size.

    Attributes:
        parameters: of the backbone (with the classifier it was trained with, if any).
        macs: multiply-accumulates per image, attention products included.
        latency_ms: of one image, median of the passes.
        images_per_second: at ``batch_size``.
        timing_setup: device, threads, runtime and precision of the times; times of different places are not compared.
    """

    parameters: int | None
    macs: int | None
    latency_ms: float | None
    images_per_second: float | None
    batch_size: int | None
    timing_setup: str


def summarize_costs(records: Sequence[Record]) -> CostSummary:
    """The costs of one row: counts of the first record that has them, times over the records of one place.

    Where the seeds of a row were timed in several places, the place of the newest counts, and the median over the
    runs there stands for the row.
    """
    measured = [(record, found) for record in records if (found := _get_efficiency(record)) is not None]
    timed = [(record, found) for record, found in measured if found.latency is not None]
    place = _describe_timing_setup(max(timed, key=lambda pair: pair[0].environment.started)[1]) if timed else ""
    same = [found for _, found in timed if _describe_timing_setup(found) == place]
    fast = [found.throughput for found in same if found.throughput is not None]
    batch = fast[-1].batch if fast else None
    return CostSummary(
        parameters=measured[0][1].parameters if measured else _classification_parameters(records[0]),
        macs=measured[0][1].macs if measured else None,
        latency_ms=median(found.latency.median_ms for found in same if found.latency) if same else None,
        images_per_second=median(1000 * each.batch / each.median_ms for each in fast if each.batch == batch)
        if fast
        else None,
        batch_size=batch,
        timing_setup=place,
    )


def _get_efficiency(record: Record) -> EfficiencyRecord | None:
    return record.cost.efficiency if record.cost else None


def _classification_parameters(record: Record) -> int | None:
    """Older records count the whole model; in classification that is the backbone and its classifier."""
    return record.backbone.parameters if record.domain == "classification" else None


def _describe_timing_setup(efficiency: EfficiencyRecord) -> str:
    threads = f"{efficiency.threads} thread{'' if efficiency.threads == 1 else 's'}" if efficiency.threads else None
    return ", ".join(filter(None, (efficiency.chip, threads, efficiency.runtime, efficiency.precision)))
