"""Estimate what a cell costs: steps, seconds, disk and memory, and say what each figure rests on.

Evidence, the best first: complete records of the same settings that this machine made with the same threads, a
calibration of this machine, and otherwise nothing: a figure that nothing was measured for is unknown. Imports no torch.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.matrix.calibration import Calibration, describe_machine
from benchmarks.resolve_cell import CellParts
from engine.device import describe_device
from foundation.errors import RecordError
from foundation.plural import format_count
from results.records.record import Record
from results.records.store import read_record

MAX_RECORDS = 5
"""Maximum number of records that an estimate is made from."""

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


def estimate_from_records(folders: Sequence[Path], parts: CellParts, device: str, threads: int) -> CellEstimate | None:
    """Return the estimate that earlier runs give; ``None`` if none of them is a run of these settings on this machine.

    Args:
        folders: folders of runs of the same task, protocol, backbone and tier.
        parts: what the cell resolves to.
        device: ``cpu``, or the name of the GPU as records have it.
        threads: number of CPU threads.
    """
    found: list[tuple[Path, Record, float]] = []
    for folder in folders:
        try:
            record = read_record(folder)
        except RecordError:
            continue  # it says nothing, and bench list names it
        seconds = _get_run_seconds(record)
        if seconds is not None and _is_comparable(record, parts, device, threads):
            found.append((folder, record, seconds))
    if not found:
        return None
    newest = sorted(found, key=lambda each: each[1].environment.started)[-MAX_RECORDS:]
    # A run that found its features in the cache was faster than the first one of its kind.
    is_frozen = "features" in _get_phases(newest[-1][1])
    durations = [seconds for _, _, seconds in newest]
    memory = [cost.peak_memory_mib for _, each, _ in newest if (cost := each.cost) and cost.peak_memory_mib]
    last = newest[-1][1].environment.started[:10]
    features = max(_get_phases(record).get("features", 0.0) for _, record, _ in newest)
    return CellEstimate(
        kind="measured run",
        evidence=f"measured in {format_count(len(newest), 'run')}, the last on {last}",
        seconds=max(durations) if is_frozen else median(durations),
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
    except ValueError:  # a record can be made up
        return None
    return span.total_seconds() if span.total_seconds() > 0 else None


def _is_comparable(record: Record, parts: CellParts, device: str, threads: int) -> bool:
    """Whether a run took what a run of these parts would take on this machine."""
    environment = record.environment
    efficiency = record.cost.efficiency if record.cost else None
    same_machine = (
        environment.platform == platform.platform()
        and environment.device == device
        and environment.threads == threads
        and environment.processes == 1
        and (efficiency is None or efficiency.chip in (None, describe_machine()["processor"]) or device != "cpu")
    )
    return (
        same_machine
        and record.task == parts.task.name
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
        requested: ``auto``, ``cpu`` or ``cuda``.
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
    return int(epochs * (items // batch if recipe.get("drop_last") else -(-items // batch)))
