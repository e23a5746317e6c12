"""Calibrate a kind of cell: make its run in a process of its own until its pace is known, and keep the findings.

Cells that differ in seed or weights are of one kind. The findings are kept below ``$BENCH_CACHE/calibrations``, under a
key of everything that the pace depends on, with the date of the measurement.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.matrix.executors.executor import CellResources
from benchmarks.matrix.run_in_worker import end_with_driver, make_worker_environment
from benchmarks.resolve_cell import CellParts, CellRequest
from engine.calibration.scope import CalibrationScope, LoopMeasurement, open_calibration
from foundation.environment import get_cache_dir
from foundation.errors import BenchError
from foundation.files import iter_files, sha256_chunks, write_atomic
from foundation.machine.machine_load import is_machine_busy, start_load_meter
from foundation.package_versions import find_version
from foundation.run_scope import memoize_in_run, open_run_scope
from foundation.storage.leftovers import open_scratch_folder

KEY_PACKAGES = ("litevit-bench", "torch", "timm", "numpy", "scipy", "opencv-python", "onedl-mmengine")
"""Packages whose version may change how long a step takes."""

_MAX_NUMBER = 1e18
"""No size, count or duration in a calibration is as large."""

_MAX_SECONDS = 1e10
"""No run is as long: three centuries."""

TIMED_ROOMS = ("engine", "backbones", "classification", "segmentation", "detection", "tracking", "pretraining")
"""Rooms whose code runs between the first and the last step of a run."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration found.

    Attributes:
        date: when it was made, UTC in ISO 8601.
        overhead_seconds: duration of everything outside of the timed loops.
        loops: the pace of each loop.
        peak_memory_mib: peak memory of the process; ``None`` if it cannot be measured.
        disk_bytes: bytes of checkpoints and predictions that a complete run leaves in its folder.
        cache_bytes: bytes that it leaves in the feature cache.
        seconds: duration of the calibration, the start of the process included.
        is_cpu_time: whether the durations are CPU time: other processes used the machine, and one thread of this
            process did all of the work, so that CPU time is what a quiet machine would need.
        is_busy: whether other processes used the machine and the durations are too long for that.
    """

    date: str
    overhead_seconds: float
    loops: tuple[LoopMeasurement, ...]
    peak_memory_mib: float | None
    disk_bytes: float
    cache_bytes: float
    seconds: float
    is_cpu_time: bool = False
    is_busy: bool = False

    @property
    def estimated_seconds(self) -> float:
        """Return the duration of a complete run in a process that has imported everything."""
        return self.overhead_seconds + sum(loop.estimated_seconds for loop in self.loops)

    @property
    def num_steps(self) -> int:
        """Return the number of optimizer steps of a complete run."""
        return round(sum(loop.total for loop in self.loops if loop.phase == "train"))


def make_calibration_key(parts: CellParts, device: str, threads: int) -> str:
    """Return the SHA-256 over everything that the pace of a cell depends on.

    Args:
        parts: what the cell resolves to.
        device: ``cpu``, or the name of the GPU.
        threads: number of CPU threads.
    """
    content = {
        "task": parts.task.name,
        "task_source": parts.task_source,
        "protocol": parts.request.protocol,
        "config": dict(parts.plan.config),
        "non_identity_settings": dict(parts.plan.non_identity_settings),
        "data": parts.data.fingerprint,
        "card": parts.request.card.identity_dict(),
        "arguments": dict(parts.plan.backbone_kwargs),
        "model": parts.backbone.model,
        "timed_backbone": parts.request.tier != "smoke",  # smoke runs do not time the backbone
        "device": device,
        "threads": threads,
        "machine": describe_machine(),
        "versions": {name: find_version(name) for name in KEY_PACKAGES},
        "code": _hash_timed_code(),
    }
    return sha256_chunks([json.dumps(content, sort_keys=True, default=str).encode()])


@memoize_in_run
def describe_machine() -> dict[str, Any]:
    """Return what tells this machine from others of another pace."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    return {"node": platform.node(), "platform": platform.platform(), "processor": processor, "cores": os.cpu_count()}


@memoize_in_run
def _hash_timed_code() -> str:
    home = Path(__file__).resolve().parents[2]
    paths = [path for room in TIMED_ROOMS for path in iter_files(home / room) if path.suffix == ".py"]
    return sha256_chunks(f"{path.relative_to(home).as_posix()}\n".encode() + path.read_bytes() for path in paths)


def _get_path(key: str) -> Path:
    return get_calibration_dir() / f"{key}.json"


def get_calibration_dir() -> Path:
    """Return the folder of the findings, which may not exist yet."""
    return get_cache_dir() / "calibrations"


def load_calibration(key: str) -> Calibration | None:
    """Return the findings that are kept under a key; ``None`` if there are none, or they are damaged."""
    try:
        content = json.loads(_get_path(key).read_text(encoding="utf-8"))
        loops = tuple(LoopMeasurement(**loop) for loop in content.pop("loops"))
        found = Calibration(loops=loops, **content)
        datetime.fromisoformat(found.date)
        return found if loops and _is_possible(found) else None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None


def _is_possible(found: Calibration) -> bool:
    """Whether findings that were read from a file are numbers that a measurement can give."""
    names = [name for loop in found.loops for name in (loop.phase, loop.unit)]
    numbers: list[Any] = [found.overhead_seconds, found.disk_bytes, found.cache_bytes, found.seconds]
    numbers += [] if found.peak_memory_mib is None else [found.peak_memory_mib]
    numbers += [number for loop in found.loops for number in loop[2:]]
    return (
        all(isinstance(name, str) for name in names)
        and all(isinstance(number, int | float) and 0 <= number < _MAX_NUMBER for number in numbers)
        and found.estimated_seconds < _MAX_SECONDS
    )


def store_calibration(key: str, calibration: Calibration) -> None:
    """Keep findings. They are a convenience: a cache that cannot be written costs time and nothing else."""
    content = asdict(calibration) | {"loops": [loop._asdict() for loop in calibration.loops]}
    try:
        _get_path(key).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_get_path(key), json.dumps(content, indent=2) + "\n")
    except OSError:
        return


def calibrate_in_process(request: CellRequest, threads: int) -> Calibration:
    """Calibrate a cell in a process of its own, so that its peak memory is that of one run.

    Args:
        request: the cell; neither its task nor its backbone is an object from memory.
        threads: number of CPU threads.

    Raises:
        BenchError: the run fails before its pace is known.
    """
    began = time.monotonic()
    # the GPU of a Mac is not one that executors hand out
    resources = CellResources(threads=threads, gpus=0 if request.device in ("cpu", "mps") else 1)
    with _set_environment(make_worker_environment(resources)):
        # spawned: a forked process would inherit torch's threads and the memory of this one
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_driver) as pool:
            try:
                found = pool.submit(calibrate_cell, request, threads).result()
            except BenchError:
                raise
            except Exception as error:
                raise BenchError(f"the calibration failed ({type(error).__name__}: {error})") from error
    return replace(found, seconds=time.monotonic() - began)


@contextlib.contextmanager
def _set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def calibrate_cell(request: CellRequest, threads: int, limits: CalibrationScope | None = None) -> Calibration:
    """Make the run of a cell in this process until its pace is known; nothing is kept of the run.

    Args:
        request: the cell.
        threads: number of CPU threads.
        limits: how long each loop is timed; by default some seconds.

    Raises:
        BenchError: the run fails before its pace is known.
    """
    import torch

    from benchmarks.cell_record import measure_cell_efficiency
    from benchmarks.resolve_cell import resolve_cell
    from benchmarks.run_cell import prepare_cell_backbone
    from engine.run_environment import get_peak_memory_mib, reset_peak_memory

    torch.set_num_threads(threads)
    scope = limits or CalibrationScope()
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),  # progress of a run that nobody asked for
        open_run_scope(hashes_all=request.hash_all, data_options=request.data_options),
        open_scratch_folder("calibration") as scratch,
    ):
        resolved = resolve_cell(request)
        if resolved.task.domain in _RUN_MODULES:
            importlib.import_module(_RUN_MODULES[resolved.task.domain])
        measure_load = start_load_meter()
        began, cpu_began, children_before = time.monotonic(), time.process_time(), sum(os.times()[2:4])
        resolved = prepare_cell_backbone(resolved)
        measure_cell_efficiency(resolved.request, resolved.plan, request.is_timed)
        reset_peak_memory(resolved.request.device)
        with open_calibration(scope):
            # what belongs to a run's id would only be checked against checkpoints, and there are none
            resolved.task.run(replace(resolved.request, run_id=""), resolved.plan, scratch)
        seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu_began
    if not scope.loops:
        raise BenchError(f"task {request.task} has no loop that a calibration could time")
    # the CPU time of other processes, such as those of a loader, is known only once they have ended
    in_children = sum(os.times()[2:4]) - children_before
    busy = is_machine_busy([seconds], measure_load(), threads)
    is_alone = resolved.request.device == "cpu" and threads == 1 and in_children < _MAX_CHILD_SHARE * cpu_seconds
    loops = scope.loops
    if busy and is_alone:
        loops, seconds = [loop.convert_to_cpu_time() for loop in loops], cpu_seconds
    return Calibration(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        overhead_seconds=max(0.0, seconds - sum(loop.spent for loop in loops)),
        loops=tuple(loops),
        peak_memory_mib=get_peak_memory_mib(resolved.request.device),
        disk_bytes=scope.disk_bytes,
        cache_bytes=scope.cache_bytes,
        seconds=seconds,
        is_cpu_time=busy and is_alone,
        is_busy=busy and not is_alone,
    )


_RUN_MODULES = {
    "classification": "classification.protocols",
    "segmentation": "segmentation.run",
    "detection": "detection.run",
    "tracking": "tracking.protocols",
    "pretrain": "pretraining.run",
}
"""What a run of a domain imports first, a matter of seconds. A worker of a sweep does so once for many cells."""

_MAX_CHILD_SHARE = 0.05
"""Share of the CPU time that child processes may have used where the CPU time of this process stands for the run."""


def can_calibrate(request: CellRequest) -> bool:
    """Return whether a cell can be made in another process: its task and backbone must have names."""
    return isinstance(request.task, str) and isinstance(request.backbone, str)
