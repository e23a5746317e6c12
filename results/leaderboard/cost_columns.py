"""The costs of a row's backbone. What was not measured is ``None``, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from results.leaderboard.timing_index import TimingIndex, describe_place
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
        is_busy: whether the machine was busy with something else while the latency was taken.
        is_throughput_busy: the same for the throughput.
        timed_at: when the latency was measured, UTC in ISO 8601; empty without a latency.
        renewal: how to measure again what was measured on a busy machine: a command, or a sentence where there is no
            command for it; empty if nothing has to be measured again.
    """

    parameters: int | None
    macs: int | None
    latency_ms: float | None
    images_per_second: float | None
    batch_size: int | None
    timing_setup: str
    is_busy: bool = False
    is_throughput_busy: bool = False
    timed_at: str = ""
    renewal: str = ""

    @property
    def quiet_latency_ms(self) -> float | None:
        """Return the latency if it may be compared with others: ``None`` if the machine was busy."""
        return None if self.is_busy else self.latency_ms


def summarize_costs(records: Sequence[Record], timings: TimingIndex) -> CostSummary:
    """Return the costs of one row: the counts of its first record that has them, and the timings of its backbone.

    Args:
        records: records of the row's seeds.
        timings: all timings; a backbone has the same on every board.
    """
    measured = [(record, found) for record in records if (found := _get_efficiency(record)) is not None]
    if not measured:
        return CostSummary(_classification_parameters(records[0]), None, None, None, None, "")
    record, counts = measured[0]
    if record.is_evaluation:
        return _summarize_own_costs(record, counts)
    timing = timings.find_timing(record)
    if timing is None:
        return CostSummary(counts.parameters, counts.macs, None, None, None, "")
    batch, batch_ms = timing.throughput_batch, timing.throughput_ms
    return CostSummary(
        parameters=counts.parameters,
        macs=counts.macs,
        latency_ms=timing.latency_ms,
        images_per_second=1000 * batch / batch_ms if batch and batch_ms else None,
        batch_size=batch,
        timing_setup=timing.setup,
        is_busy=timing.is_busy,
        is_throughput_busy=timing.is_throughput_busy,
        timed_at=timing.measured,
        renewal=timings.describe_renewal(record, timing) if timing.is_busy or timing.is_throughput_busy else "",
    )


def _summarize_own_costs(record: Record, measured: EfficiencyRecord) -> CostSummary:
    """Return the costs of a finished model as its own record has them.

    Score and time are of the same model, runtime and precision; a time of another record could be of another one. The
    setup says where the time was taken, without runtime and precision: these belong to the model, so two models in
    two runtimes on one chip may be compared.
    """
    latency, throughput = measured.latency, measured.throughput
    # one measurement, so there is no choice among several as for backbones
    is_busy = latency is not None and measured.is_busy(latency)
    is_throughput_busy = throughput is not None and measured.is_busy(throughput)
    return CostSummary(
        parameters=measured.parameters,
        macs=measured.macs,
        latency_ms=latency.median_ms if latency else None,
        images_per_second=1000 * throughput.batch / throughput.median_ms if throughput else None,
        batch_size=throughput.batch if throughput else None,
        timing_setup=describe_place(measured) if latency or throughput else "",
        is_busy=is_busy,
        is_throughput_busy=is_throughput_busy,
        timed_at=record.environment.finished or record.environment.started if latency else "",
        renewal="evaluate it again with --fresh" if is_busy or is_throughput_busy else "",
    )


def _get_efficiency(record: Record) -> EfficiencyRecord | None:
    return record.cost.efficiency if record.cost else None


def _classification_parameters(record: Record) -> int | None:
    """Return the parameters of a record without cost measurements.

    Such records count the entire model. In classification that is the backbone with its classifier; in other domains
    it includes a head, so it is not the cost of the backbone.
    """
    return record.backbone.parameters if record.domain == "classification" else None
