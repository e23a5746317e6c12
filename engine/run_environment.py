"""Collect where a run was made: package versions, device, state of the source code, memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from engine.data.decode import describe_decoder
from engine.device import describe_device, get_dist_info
from engine.processes.memory_allocator import find_loaded_allocator
from foundation.package_versions import find_build
from results.records.measurements import RunEnvironment

RECORDED_PACKAGES = (
    "litevit-bench",
    "torch",
    "torchvision",
    "timm",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmsegmentation",
    "got10k",
    "numpy",
    "scipy",
    "scikit-learn",
    "opencv-python",
    "opencv-python-headless",
    "pillow",
    "pillow-heif",
    "pillow-jxl-plugin",
    "pillow-avif-plugin",
    "onnx",
    "onnxruntime",
    "openvino",
)


class GitState(NamedTuple):
    """State of bench's source code: the git commit, and whether files differ from it (``None`` without git)."""

    commit: str | None
    dirty: bool | None


def utc_now() -> str:
    """Return the current time in UTC as ISO 8601, with microseconds so that attempts can be sorted by it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def collect_package_versions() -> dict[str, str]:
    """Return the versions of the packages that can change a result; packages that are not installed are left out."""
    return dict(filter(None, map(find_build, RECORDED_PACKAGES)))


def get_git_state() -> GitState:
    """Return the git commit of bench's source tree."""
    # Only bench's own repository counts: git would also find one around a site-packages folder.
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return GitState(None, None)
    try:
        commit, changes = (
            subprocess.run(  # noqa: S603 - fixed arguments
                ["git", "-C", str(home), *arguments], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            # untracked files are ignored: results and caches in the source tree do not change a number
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return GitState(None, None)
    return GitState(commit, bool(changes))


def collect_run_environment(
    device: str, precision: str, command: list[str], domain: str | None = None
) -> RunEnvironment:
    """Return the environment block of a record, at the start of a run.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: of the training.
        command: the command line, word by word.
        domain: of the task, which decides what decodes its images; ``None`` if no image is decoded.
    """
    import torch

    source = get_git_state()
    return RunEnvironment(
        started=utc_now(),
        device=describe_device(device),
        threads=torch.get_num_threads(),
        processes=get_dist_info()[1],
        precision=precision,
        python=platform.python_version(),
        platform=platform.platform(),
        packages=collect_package_versions(),
        git_commit=source.commit,
        git_dirty=source.dirty,
        command=command,
        image_decoder=None if domain is None else describe_decoder(domain),
        memory_allocator=find_loaded_allocator(),
    )


def reset_peak_memory(device: str) -> None:
    """Restart the measurement of peak memory, if the system supports it.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
    """
    import torch

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the current memory; see proc(5)
        except OSError:  # not permitted in some containers
            return


def get_peak_memory_mib(device: str) -> float | None:
    """Return the peak memory since ``reset_peak_memory`` in MiB, or ``None`` if it cannot be measured.

    Args:
        device: ``cuda`` for the memory of torch's GPU allocator, ``cpu`` for the memory of this process.
    """
    import torch

    if device == "cuda":
        return float(torch.cuda.max_memory_allocated()) / 2**20
    # Without a reset, VmHWM would be the peak since the start of the process, which includes earlier runs.
    if sys.platform != "linux" or not os.access("/proc/self/clear_refs", os.W_OK):
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024  # the file gives kB
    return None
