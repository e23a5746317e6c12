"""Collect the costs of a row's backbone from its records. What was not measured is ``None``, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from results.records.measurements import EfficiencyRecord
from results.records.record import Record


class CostSummary(NamedTuple):
    """Costs of one backbone at the input size of its run.

    Attributes:
        parameters: number of parameters of the backbone (with the classifier it was trained with, if any).
        macs: multiply-accumulates per image, including the products of attention.
        latency_ms: milliseconds for one image, median of the passes.
        images_per_second: throughput at ``batch_size``.
        batch_size: batch size of the throughput measurement.
        timing_setup: chip, threads, runtime and precision of the timings, in one line. Timings of different setups are
            not compared.
        is_busy: whether the machine was busy with something else while the timings were taken.
    """

    parameters: int | None
    macs: int | None
    latency_ms: float | None
    images_per_second: float | None
    batch_size: int | None
    timing_setup: str
    is_busy: bool = False


def summarize_costs(records: Sequence[Record]) -> CostSummary:
    """Return the costs of one row: the counts of the first record that has them, and the timings of one setup.

    If the seeds of a row were timed in several setups, the setup of the newest run is used, and each timing is the
    median over the runs in that setup.

    Args:
        records: records of the row's seeds.
    """
    measured = [(record, found) for record in records if (found := _get_efficiency(record)) is not None]
    timed = [(record, found) for record, found in measured if found.latency is not None]
    # timings of different setups cannot be averaged; the newest one is the most likely to be repeated
    place = _describe_timing_setup(max(timed, key=lambda pair: pair[0].environment.started)[1]) if timed else ""
    same = [found for _, found in timed if _describe_timing_setup(found) == place]
    # throughput depends on the batch size, so only runs with the batch size of the last one are combined
    fast = [found.throughput for found in same if found.throughput is not None]
    batch = fast[-1].batch if fast else None
    return CostSummary(
        parameters=measured[0][1].parameters if measured else _classification_parameters(records[0]),
        macs=measured[0][1].macs if measured else None,
        latency_ms=median(found.latency.median_ms for found in same if found.latency) if same else None,
        # batch images in median_ms milliseconds
        images_per_second=median(1000 * each.batch / each.median_ms for each in fast if each.batch == batch)
        if fast
        else None,
        batch_size=batch,
        timing_setup=place,
    )


def _get_efficiency(record: Record) -> EfficiencyRecord | None:
    return record.cost.efficiency if record.cost else None


def _classification_parameters(record: Record) -> int | None:
    """Return the parameters of a record without cost measurements.

    Such records count the entire model. In classification that is the backbone with its classifier; in other domains
    it includes a head, so it is not the cost of the backbone.
    """
    return record.backbone.parameters if record.domain == "classification" else None


def _describe_timing_setup(efficiency: EfficiencyRecord) -> str:
    threads = f"{efficiency.threads} thread{'' if efficiency.threads == 1 else 's'}" if efficiency.threads else None
    return ", ".join(filter(None, (efficiency.chip, threads, efficiency.runtime, efficiency.precision)))
