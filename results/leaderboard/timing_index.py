"""One timing per backbone and input size for all boards, chosen among all measurements in records and saved timings.

A disturbance only ever adds time. So of the measurements in one setup (chip, threads, runtime, precision) the least
disturbed one counts: the smallest median of those on a quiet machine. A backbone that was measured in several setups is
shown in that of its newest quiet measurement.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundation.files import sha256_chunks
from results.records.ledger import find_store
from results.records.measurements import EfficiencyRecord
from results.records.record import BackboneRecord, Record
from results.records.saved_timings import SavedTiming
from results.records.store import ScanResult

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
        latency_ms: median of the passes of one image, in milliseconds.
        throughput_batch, throughput_ms: a larger batch of the same setup and the median of its passes; ``None`` if
            there is none.
        is_busy, is_throughput_busy: whether the machine was busy with something else during the two.
    """

    setup: str
    device: str
    threads: int | None
    measured: str
    latency_ms: float
    throughput_batch: int | None
    throughput_ms: float | None
    is_busy: bool
    is_throughput_busy: bool


class BackboneMeasurement(NamedTuple):
    """One measurement of a backbone: when and where it was made, and the medians of its passes."""

    measured: str
    device: str
    threads: int | None
    setup: str
    macs: int
    latency_ms: float
    is_busy: bool
    throughput_batch: int | None
    throughput_ms: float
    is_throughput_busy: bool


class PluginNetwork(NamedTuple):
    """A digest of what a plug-in made a network from, and one of the network that it made."""

    creation: str
    model: str


class RunTiming(NamedTuple):
    """What a run says about the time of its backbone.

    Attributes:
        network: a digest of what the measurements of one network have in common.
        folder, task: the run.
        plugin: what a plug-in made; ``None`` for bench's own backbones.
        measurement: ``None`` for a plug-in's backbone that was not timed.
    """

    network: str
    folder: str
    task: str
    plugin: PluginNetwork | None
    measurement: BackboneMeasurement | None


class TimingIndex:
    """All timings of a scan, by backbone and input size."""

    def __init__(self, scan_result: ScanResult, run_timings: Iterable[RunTiming] | None = None) -> None:
        """Collect the timings of all records, whatever their board or status, and of all saved timings.

        Args:
            scan_result: the records and the saved timings.
            run_timings: what all records of the store say, if ``scan_result`` has some of them only.
        """
        timed: list[tuple[RunTiming, BackboneMeasurement]] = []
        models: dict[str, set[str]] = defaultdict(set)
        for run in iter_run_timings(scan_result) if run_timings is None else run_timings:
            if run.plugin is not None:
                models[run.plugin.creation].add(run.plugin.model)
            if run.measurement is not None:
                timed.append((run, run.measurement))
        # From what plug-ins have made several networks, as they read something outside of themselves. Two numbers of
        # heads, for example, have the same name, arguments and MACs, but not the same time.
        self._changed = {creation for creation, found in models.items() if len(found) > 1}
        measured: dict[str, list[BackboneMeasurement]] = defaultdict(list)
        self._runs: dict[str, RunTiming] = {}  # a run of each network, whose store takes a renewed timing
        for run, measurement in timed:
            key = _name_network(run.network, run.plugin, self._changed)
            measured[key].append(measurement)
            self._runs.setdefault(key, run)
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
        store = _name_store(Path(run.folder), run.task) if run else "runs"
        words = ["bench", "profile", backbone.name, "--img-size", str(efficiency.img_size[0])]
        command = shlex.join([*words, "--device", timing.device, "--save", store])
        # another number of threads would be another setup, beside those of the other rows
        return f"OMP_NUM_THREADS={timing.threads} {command}" if timing.threads and timing.device == "cpu" else command

    def _identify_network(self, backbone: BackboneRecord, efficiency: EfficiencyRecord) -> str:
        """Return what two measurements have in common if they are of one network, apart from its classifier."""
        return _name_network(_identify_code(backbone, efficiency), _describe_plugin(backbone), self._changed)


def describe_setup(efficiency: EfficiencyRecord) -> str:
    """Return chip, threads, runtime and precision of a measurement in one line."""
    return ", ".join(filter(None, (describe_place(efficiency), efficiency.runtime, efficiency.precision)))


def describe_place(efficiency: EfficiencyRecord) -> str:
    """Return chip and threads of a measurement in one line."""
    threads = f"{efficiency.threads} thread{'' if efficiency.threads == 1 else 's'}" if efficiency.threads else None
    return ", ".join(filter(None, (efficiency.chip, threads)))


def iter_run_timings(scan_result: ScanResult) -> Iterator[RunTiming]:
    """Yield what the records of a scan say about the time of backbones, in the order of the scan."""
    for folder, record in scan_result.records:
        if record.is_evaluation:  # its time is that of the whole model, often exported, and stays with its own row
            continue
        efficiency, plugin = record.cost.efficiency if record.cost else None, _describe_plugin(record.backbone)
        if efficiency is not None and efficiency.latency is not None:
            where = record.environment
            measurement = _summarize_measurement(efficiency, where.started, where.device)
            network = _identify_code(record.backbone, efficiency)
            yield RunTiming(network, str(folder), record.task, plugin, measurement)
        elif plugin is not None:  # it was not timed, but shows that the plug-in makes several networks
            yield RunTiming("", str(folder), record.task, plugin, None)


def _identify_code(backbone: BackboneRecord, efficiency: EfficiencyRecord) -> str:
    """Return what two measurements have in common if they are of one network as far as its code says it."""
    source = backbone.model.get("source") if backbone.model else None
    return _join_network(backbone.name, backbone.card, backbone.arguments, source, efficiency)


def _describe_plugin(backbone: BackboneRecord) -> PluginNetwork | None:
    """Return what a plug-in made from what, its classifier included; ``None`` for bench's own backbones."""
    if backbone.model is None or "attributes" not in backbone.model:
        return None
    shape = [backbone.name, backbone.card.get("architecture"), backbone.card.get("arguments"), backbone.arguments]
    return PluginNetwork(_digest_json(shape), _digest_json(backbone.model))


def _name_network(network: str, plugin: PluginNetwork | None, changed: Collection[str]) -> str:
    return network + plugin.model if plugin is not None and plugin.creation in changed else network


def _digest_json(content: object) -> str:
    return sha256_chunks([json.dumps(content, sort_keys=True).encode()])[:32]


def _identify_saved(saved: SavedTiming) -> str:
    return _join_network(saved.name, saved.card, {}, saved.source, saved.efficiency)


def _join_network(
    name: str, card: Mapping[str, Any], arguments: Mapping[str, Any], source: str | None, efficiency: EfficiencyRecord
) -> str:
    timed = {key: value for key, value in arguments.items() if key not in UNTIMED_ARGUMENTS}
    shape = [name, card.get("architecture"), card.get("arguments"), timed, source, efficiency.img_size]
    return _digest_json(shape)


def _name_store(folder: Path, task: str) -> str:
    """Return the store of a run folder as the user would name it; the default store for a run outside of a store."""
    if find_store(folder, task) is None:
        return "runs"
    return str(folder.parents[len(Path(task).parts)])


def _summarize_measurement(efficiency: EfficiencyRecord, measured: str, device: str) -> BackboneMeasurement:
    latency, throughput = efficiency.latency, efficiency.throughput
    assert latency is not None  # the callers leave out what was not timed
    return BackboneMeasurement(
        measured,
        device,
        efficiency.threads,
        describe_setup(efficiency),
        efficiency.macs,
        latency.median_ms,
        efficiency.is_busy(latency),
        throughput.batch if throughput else None,
        throughput.median_ms if throughput else 0.0,
        throughput is not None and efficiency.is_busy(throughput),
    )


def _are_macs_alike(first: int, second: int) -> bool:
    return abs(first - second) <= CLASSIFIER_SHARE * max(first, second)


def _split_by_macs(measurements: Iterable[BackboneMeasurement]) -> list[list[BackboneMeasurement]]:
    """Split measurements of one name where the MACs jump: there the network was changed under its name."""
    groups: list[list[BackboneMeasurement]] = []
    for each in sorted(measurements, key=lambda each: each.macs):
        if groups and _are_macs_alike(groups[-1][-1].macs, each.macs):
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _choose_timing(measurements: Sequence[BackboneMeasurement]) -> BackboneTiming:
    """Choose setup, latency and throughput; the result does not depend on the order of the measurements."""
    # newest first, so that of equal medians the newest counts (min returns the first of equals)
    newest = sorted(measurements, key=lambda each: (each.measured, each.setup), reverse=True)
    setup = min(newest, key=lambda each: each.is_busy).setup
    same = [each for each in newest if each.setup == setup]
    latency = min(same, key=lambda each: (each.is_busy, each.latency_ms))
    fast = [each for each in same if each.throughput_batch is not None]
    # a larger batch says more about throughput; a busy machine was given a smaller one
    throughput = min(
        fast,
        key=lambda each: (each.is_throughput_busy, -(each.throughput_batch or 0), each.throughput_ms),
        default=None,
    )
    return BackboneTiming(
        setup,
        latency.device,
        latency.threads,
        latency.measured,
        latency.latency_ms,
        throughput.throughput_batch if throughput else None,
        throughput.throughput_ms if throughput else None,
        latency.is_busy,
        throughput is not None and throughput.is_throughput_busy,
    )
