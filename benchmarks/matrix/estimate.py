"""Estimate what a cell costs: steps, seconds, disk and memory, and say what each figure rests on.

Evidence, the best first: complete records of the same settings that this machine made with the same threads, a
calibration of this machine, and otherwise nothing: a figure that nothing was measured for is unknown. Imports no torch.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

from benchmarks.matrix.calibration import Calibration, describe_machine
from benchmarks.resolve_cell import CellParts
from engine.device import describe_device
from engine.lr_schedule import count_epoch_steps
from foundation.errors import RecordError
from foundation.plural import format_count
from results.records.record import Record
from results.records.store import read_record

MAX_RECORDS = 5
"""Maximum number of records that an estimate is made from."""

FEATURE_SETTINGS = ("img_size", "crop_pct", "pool", "max_items")
"""Settings of a recipe that features depend on."""

BYTES_PER_ITEM = 32
"""Size of a row of a per-item table, roughly; checkpoints are thousands of times larger than such a table."""

EvidenceKind = Literal["measured run", "calibrated", "unknown"]


@dataclass(frozen=True)
class CellEstimate:
    """What one cell costs if it is run alone, from its start to its record.

    Attributes:
        kind: what the estimate rests on.
        evidence: the same with details, in words.
        seconds: duration in a process that has imported what it needs (2 to 10 s for its first cell); ``None``
            if unknown.
        steps: number of optimizer steps; 0 for a protocol that trains no backbone, ``None`` if unknown.
        disk_bytes: size of the run's folder; ``None`` if unknown.
        cache_bytes: size of its features in the cache.
        peak_memory_mib: peak memory of the process; ``None`` if unknown.
        feature_seconds: the part of ``seconds`` that is spent on the features of each split, by split. Cells of the
            same backbone on the same data share them, so only the first one spends this time.
        refusal: with which error the run ends, where a calibration has found that out; otherwise empty.
    """

    kind: EvidenceKind = "unknown"
    evidence: str = "unknown"
    seconds: float | None = None
    steps: int | None = None
    disk_bytes: float | None = None
    cache_bytes: float = 0.0
    peak_memory_mib: float | None = None
    feature_seconds: Mapping[str, float] = field(default_factory=dict)
    refusal: str = ""


def estimate_from_calibration(calibration: Calibration, parts: CellParts) -> CellEstimate:
    """Return the estimate that a calibration gives.

    Args:
        calibration: of a cell that has the same key (``calibration.make_calibration_key``).
        parts: what the cell resolves to.
    """
    longest = max(calibration.loops, key=lambda loop: loop.estimated_seconds)
    features = {
        loop.phase.removeprefix("features of "): loop.estimated_seconds
        for loop in calibration.loops
        if loop.phase.startswith("features of ")
    }
    busy = ", in CPU time because the machine was busy" if calibration.is_cpu_time else ""
    busy = ", on a busy machine" if calibration.is_busy else busy
    return CellEstimate(
        kind="calibrated",
        evidence=f"calibrated on {calibration.date[:10]}, {round(longest.measured):,} {longest.unit} timed{busy}",
        seconds=calibration.estimated_seconds,
        steps=calibration.num_steps,
        disk_bytes=calibration.disk_bytes + BYTES_PER_ITEM * parts.plan.num_expected_items,
        cache_bytes=calibration.cache_bytes,
        peak_memory_mib=calibration.peak_memory_mib,
        feature_seconds=features,
    )


class FeaturePass(NamedTuple):
    """The feature pass of an earlier run.

    Attributes:
        kind: what runs have in common whose features take as long to compute.
        seconds: how long the run took to get its features; next to nothing if they were in the cache.
    """

    kind: Hashable
    seconds: float


def list_feature_passes(folders: Iterable[Path], device: str, threads: int) -> list[FeaturePass]:
    """Return the feature passes of complete runs on this machine.

    Args:
        folders: folders of runs of one task and backbone.
        device: ``cpu``, or the name of the GPU as records have it.
        threads: number of CPU threads.
    """
    return [_make_pass(record, seconds) for _, record, seconds in _read_runs(folders, device, threads)]


def _read_runs(folders: Iterable[Path], device: str, threads: int) -> Iterator[tuple[Path, Record, float]]:
    """Yield the runs on this machine that were complete at the first attempt, with their durations."""
    for folder in folders:
        try:
            record = read_record(folder)
        except RecordError:
            continue  # it says nothing, and bench list names it
        seconds = _get_run_seconds(record)
        if seconds is not None and _is_same_machine(record, device, threads):
            yield folder, record, seconds


def _make_pass(record: Record, run_seconds: float) -> FeaturePass:
    kind = _get_feature_kind(record.config, record.backbone.arguments, record.data.splits)
    return FeaturePass(kind, min(run_seconds, _get_phases(record).get("features", 0.0)))


def _get_feature_kind(
    config: Mapping[str, Any], arguments: Mapping[str, Any], splits: Mapping[str, int]
) -> tuple[str, ...]:
    recipe = config.get("recipe")
    settings = recipe if isinstance(recipe, Mapping) else {}  # a record can be made up
    words = [settings.get(name) for name in FEATURE_SETTINGS]
    return (str(words), str(config.get("data_scale")), str(sorted(arguments.items())), str(sorted(splits.items())))


def estimate_from_records(
    folders: Sequence[Path],
    parts: CellParts,
    device: str,
    threads: int,
    find_passes: Callable[[], Iterable[FeaturePass]] = tuple,
) -> CellEstimate | None:
    """Return the estimate that earlier runs give; ``None`` if none of them is a run of these settings on this machine.

    Args:
        folders: folders of runs of the same task, protocol, backbone and tier.
        parts: what the cell resolves to.
        device: ``cpu``, or the name of the GPU as records have it.
        threads: number of CPU threads.
        find_passes: returns the feature passes of runs of other protocols; called if this one reads features.
    """
    found: list[tuple[Path, Record, float]] = []
    passes: list[FeaturePass] = []
    for folder, record, seconds in _read_runs(folders, device, threads):
        passes.append(_make_pass(record, seconds))
        if _is_comparable(record, parts):
            found.append((folder, record, seconds))
    if not found:
        return None
    newest = sorted(found, key=lambda each: each[1].environment.started)[-MAX_RECORDS:]
    durations = [seconds for _, _, seconds in newest]
    is_frozen = "features" in _get_phases(newest[-1][1])
    features = 0.0
    if is_frozen:
        # the pass of a run that found its features in the cache is no measure of what they cost
        kind = _get_feature_kind(parts.plan.config, parts.plan.backbone_kwargs, parts.data.splits)
        features = max(each.seconds for each in (*passes, *find_passes()) if each.kind == kind)
        durations = [features + max(seconds - _make_pass(record, seconds).seconds for _, record, seconds in newest)]
    memory = [cost.peak_memory_mib for _, each, _ in newest if (cost := each.cost) and cost.peak_memory_mib]
    last = newest[-1][1].environment.started[:10]
    return CellEstimate(
        kind="measured run",
        evidence=f"measured in {format_count(len(newest), 'run')}, the last on {last}",
        seconds=median(durations),
        steps=None,
        disk_bytes=float(max(_measure_folder(folder) for folder, _, _ in newest)),
        peak_memory_mib=max(memory, default=None),
        # a record does not say how its time divides over the splits
        feature_seconds={"all splits": features} if is_frozen else {},
    )


def _get_phases(record: Record) -> Mapping[str, float]:
    return record.cost.phases if record.cost else {}


def _get_run_seconds(record: Record) -> float | None:
    """Return the duration of a complete run; ``None`` if it was interrupted, since the parts may overlap."""
    finished = record.environment.finished
    if record.status != "complete" or record.cost is None or record.cost.attempts != 1 or finished is None:
        return None
    try:
        span = datetime.fromisoformat(finished) - datetime.fromisoformat(record.environment.started)
    except (ValueError, TypeError):  # a record can be made up: no date, or one without a time zone
        return None
    return span.total_seconds() if span.total_seconds() > 0 else None


def _is_same_machine(record: Record, device: str, threads: int) -> bool:
    """Whether a run was made on a machine like this one: equal system, processor or GPU, and number of threads."""
    environment = record.environment
    efficiency = record.cost.efficiency if record.cost else None
    return (
        environment.platform == platform.platform()
        and environment.device == device
        and environment.threads == threads
        and environment.processes == 1
        and (efficiency is None or efficiency.chip in (None, describe_machine()["processor"]) or device != "cpu")
    )


def _is_comparable(record: Record, parts: CellParts) -> bool:
    """Whether a run of these parts would take what a run took on its machine."""
    return (
        record.task == parts.task.name
        and record.config == _to_plain(parts.plan.config)
        and record.backbone.arguments == _to_plain(parts.plan.backbone_kwargs)
        and record.data.splits == dict(parts.data.splits)
    )


def _to_plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return dict(settings)


def _measure_folder(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def find_device(requested: str) -> str:
    """Return the device as records name it. Imports torch only where a GPU may be meant.

    Args:
        requested: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    has_driver = platform.system() != "Linux" or Path("/proc/driver/nvidia").exists()
    if requested == "cpu" or (requested == "auto" and (hidden or not has_driver)):
        return "cpu"
    from engine.device import resolve_device

    return describe_device(resolve_device(requested))


def find_default_threads() -> int:
    """Return with how many threads a run computes here if nobody says otherwise."""
    words = os.environ.get("OMP_NUM_THREADS", "")
    if words.isdecimal() and int(words) > 0:
        return int(words)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_planned_steps(parts: CellParts) -> int | None:
    """Return the number of optimizer steps that a plan has; ``None`` if its settings do not tell.

    Args:
        parts: what the cell resolves to.
    """
    recipe: Mapping[str, Any] = parts.plan.config.get("recipe", {})
    if "grid" in recipe or "k" in recipe:
        return 0  # nothing of the backbone is trained
    if (iterations := recipe.get("iterations")) is not None:
        return int(iterations)
    splits = str(recipe.get("train_on", "train")).split("+")
    epochs, batch = recipe.get("epochs"), recipe.get("batch_size")
    items = recipe.get("pairs") or sum(parts.data.splits.get(split, 0) for split in splits)
    if not epochs or not batch or not items or any(recipe.get("search", {}).values()):
        return None
    items = round(items * parts.request.data_scale)
    return int(epochs * count_epoch_steps(items, batch, bool(recipe.get("drop_last"))))
