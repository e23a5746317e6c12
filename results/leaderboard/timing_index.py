"""One timing per backbone and input size for all boards, chosen among all measurements in records and saved timings.

A disturbance only ever adds time. So of the measurements in one setup (chip, threads, runtime, precision) the least
disturbed one counts: the smallest median of those on a quiet machine. A backbone that was measured in several setups is
shown in that of its newest quiet measurement.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from results.records.ledger import find_store
from results.records.measurements import EfficiencyRecord, TimingSamples
from results.records.record import BackboneRecord, Record
from results.records.saved_timings import SavedTiming
from results.records.store import ScanResult
from results.statistics.ranking import StoredRun

UNTIMED_ARGUMENTS = frozenset({"num_classes", "global_pool", "drop_path_rate", "img_size"})
"""Arguments of a backbone in which its uses differ and that hardly change its time: the classifier, the pooling of the
last tokens, what is dropped in training. The input size is compared on its own."""

CLASSIFIER_SHARE = 0.05
"""Up to this share of MACs, two networks of one card and size are taken for one with different classifiers: 1,000
classes are 4 % of the MACs of the smallest backbone, and less than 1 % of any usual one."""


class BackboneTiming(NamedTuple):
    """The timing of a backbone that counts.

    Attributes:
        setup: chip, threads, runtime and precision in one line.
        device, threads: ``cpu`` or ``cuda``, and the number of threads.
        measured: when the latency was measured, UTC in ISO 8601.
        latency, throughput: the passes at batch 1 and at a larger batch, of the same setup.
        is_busy, is_throughput_busy: whether the machine was busy with something else during the two.
    """

    setup: str
    device: str
    threads: int | None
    measured: str
    latency: TimingSamples
    throughput: TimingSamples | None
    is_busy: bool
    is_throughput_busy: bool


class _Measurement(NamedTuple):
    """One measurement of a backbone: when and where it was made, and its samples with their medians."""

    measured: str
    device: str
    threads: int | None
    setup: str
    macs: int
    latency: TimingSamples
    latency_ms: float
    is_busy: bool
    throughput: TimingSamples | None
    throughput_ms: float
    is_throughput_busy: bool


class TimingIndex:
    """All timings of a scan, by backbone and input size."""

    def __init__(self, scan_result: ScanResult) -> None:
        """Collect the timings of all records, whatever their board or status, and of all saved timings."""
        self._changed = _find_changed_networks(record.backbone for _, record in scan_result.records)
        measured: dict[str, list[_Measurement]] = defaultdict(list)
        self._runs: dict[str, StoredRun] = {}  # a run of each network, whose store takes a renewed timing
        for folder, record in scan_result.records:
            efficiency = record.cost.efficiency if record.cost else None
            if efficiency is not None and efficiency.latency is not None:
                key = self._identify_network(record.backbone, efficiency)
                where = record.environment
                measured[key].append(_summarize_measurement(efficiency, where.started, where.device))
                self._runs.setdefault(key, (folder, record))
        for saved in scan_result.timings:
            if saved.efficiency.latency is not None:
                key = _identify_saved(saved)
                measured[key].append(_summarize_measurement(saved.efficiency, saved.measured, saved.device))
        self._chosen: dict[str, dict[int, BackboneTiming]] = {}  # by network, then by MACs
        for key, measurements in measured.items():
            by_macs = self._chosen[key] = {}
            for alike in _split_by_macs(measurements):
                by_macs.update(dict.fromkeys((each.macs for each in alike), _choose_timing(alike)))

    def find_timing(self, record: Record) -> BackboneTiming | None:
        """Return the timing that counts for the backbone of a record; ``None`` if it was never timed at this size."""
        efficiency = record.cost.efficiency if record.cost else None
        if efficiency is None:
            return None
        by_macs = self._chosen.get(self._identify_network(record.backbone, efficiency), {})
        # a run that was counted only, a smoke run for example, may have a classifier that no timing has
        near = [macs for macs in by_macs if _are_macs_alike(macs, efficiency.macs)]
        return by_macs[min(near, key=lambda macs: (abs(macs - efficiency.macs), macs))] if near else None

    def describe_renewal(self, record: Record, timing: BackboneTiming) -> str:
        """Return the command that measures a timing again in its setup, or what to do where there is none.

        Args:
            record: a run of the backbone.
            timing: the timing that counts for it.
        """
        efficiency = record.cost.efficiency if record.cost else None
        backbone = record.backbone
        others = set(backbone.arguments) - UNTIMED_ARGUMENTS
        if efficiency is None or backbone.init == "memory" or others or len(set(efficiency.img_size)) != 1:
            return "run it again with --fresh"
        run = self._runs.get(self._identify_network(backbone, efficiency))
        store = _name_store(*run) if run else "runs"
        words = ["bench", "profile", backbone.name, "--img-size", str(efficiency.img_size[0])]
        command = shlex.join([*words, "--device", timing.device, "--save", store])
        # another number of threads would be another setup, beside those of the other rows
        return f"OMP_NUM_THREADS={timing.threads} {command}" if timing.threads and timing.device == "cpu" else command

    def _identify_network(self, backbone: BackboneRecord, efficiency: EfficiencyRecord) -> str:
        """Return what two measurements have in common if they are of one network, apart from its classifier."""
        source = backbone.model.get("source") if backbone.model else None
        key = _join_network(backbone.name, backbone.card, backbone.arguments, source, efficiency)
        if _is_plugin(backbone) and _identify_creation(backbone) in self._changed:
            key += json.dumps(backbone.model, sort_keys=True)
        return key


def describe_setup(efficiency: EfficiencyRecord) -> str:
    """Return chip, threads, runtime and precision of a measurement in one line."""
    threads = f"{efficiency.threads} thread{'' if efficiency.threads == 1 else 's'}" if efficiency.threads else None
    return ", ".join(filter(None, (efficiency.chip, threads, efficiency.runtime, efficiency.precision)))


def _identify_creation(backbone: BackboneRecord) -> str:
    """Return what a network was made from, its classifier included."""
    shape = [backbone.name, backbone.card.get("architecture"), backbone.card.get("arguments"), backbone.arguments]
    return json.dumps(shape, sort_keys=True)


def _is_plugin(backbone: BackboneRecord) -> bool:
    return backbone.model is not None and "attributes" in backbone.model


def _find_changed_networks(backbones: Iterable[BackboneRecord]) -> set[str]:
    """Return from what plug-ins have made several networks, as they read something outside of themselves.

    Two numbers of heads, for example, have the same name, arguments and MACs, but not the same time.
    """
    models: dict[str, set[str]] = defaultdict(set)
    for backbone in backbones:
        if _is_plugin(backbone):
            models[_identify_creation(backbone)].add(json.dumps(backbone.model, sort_keys=True))
    return {creation for creation, found in models.items() if len(found) > 1}


def _identify_saved(saved: SavedTiming) -> str:
    return _join_network(saved.name, saved.card, {}, saved.source, saved.efficiency)


def _join_network(
    name: str, card: Mapping[str, Any], arguments: Mapping[str, Any], source: str | None, efficiency: EfficiencyRecord
) -> str:
    timed = {key: value for key, value in arguments.items() if key not in UNTIMED_ARGUMENTS}
    shape = [name, card.get("architecture"), card.get("arguments"), timed, source, efficiency.img_size]
    return json.dumps(shape, sort_keys=True)


def _name_store(folder: Path, record: Record) -> str:
    """Return the store of a run folder as the user would name it; the default store for a run outside of a store."""
    if find_store(folder, record.task) is None:
        return "runs"
    return str(folder.parents[len(Path(record.task).parts)])


def _summarize_measurement(efficiency: EfficiencyRecord, measured: str, device: str) -> _Measurement:
    latency, throughput = efficiency.latency, efficiency.throughput
    assert latency is not None  # the callers leave out what was not timed
    return _Measurement(
        measured,
        device,
        efficiency.threads,
        describe_setup(efficiency),
        efficiency.macs,
        latency,
        latency.median_ms,
        efficiency.is_busy(latency),
        throughput,
        throughput.median_ms if throughput else 0.0,
        throughput is not None and efficiency.is_busy(throughput),
    )


def _are_macs_alike(first: int, second: int) -> bool:
    return abs(first - second) <= CLASSIFIER_SHARE * max(first, second)


def _split_by_macs(measurements: Iterable[_Measurement]) -> list[list[_Measurement]]:
    """Split measurements of one name where the MACs jump: there the network was changed under its name."""
    groups: list[list[_Measurement]] = []
    for each in sorted(measurements, key=lambda each: each.macs):
        if groups and _are_macs_alike(groups[-1][-1].macs, each.macs):
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _choose_timing(measurements: Sequence[_Measurement]) -> BackboneTiming:
    """Choose setup, latency and throughput; the result does not depend on the order of the measurements."""
    # newest first, so that of equal medians the newest counts (min returns the first of equals)
    newest = sorted(measurements, key=lambda each: (each.measured, each.setup), reverse=True)
    setup = min(newest, key=lambda each: each.is_busy).setup
    same = [each for each in newest if each.setup == setup]
    latency = min(same, key=lambda each: (each.is_busy, each.latency_ms))
    fast = [each for each in same if each.throughput is not None]
    # a larger batch says more about throughput; a busy machine was given a smaller one
    throughput = min(
        fast,
        key=lambda each: (
            each.is_throughput_busy,
            -each.throughput.batch if each.throughput else 0,
            each.throughput_ms,
        ),
        default=None,
    )
    return BackboneTiming(
        setup,
        latency.device,
        latency.threads,
        latency.measured,
        latency.latency,
        throughput.throughput if throughput else None,
        latency.is_busy,
        throughput is not None and throughput.is_throughput_busy,
    )
