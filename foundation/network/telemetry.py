"""Keep libraries from reporting to their makers, and from sharing compiled code in a folder of all users."""

from __future__ import annotations

import os
from pathlib import Path

from foundation.environment import get_cache_dir
from foundation.errors import UserError
from foundation.files import require_writable_place
from foundation.storage.disk_space import measure_free_space

TELEMETRY_SWITCHES = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # ONNX Runtime 1.31 reports the session to Microsoft from a thread of its own, on Linux as well
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_ERROR_REPORTING": "false",
}
"""Environment variables that each library reads when it is imported; what the user has set stays."""

COMPILER_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

_MIN_BYTES = 1 << 20
"""Free bytes of the disk, without which not even a folder may fit."""


def switch_telemetry_off() -> None:
    """Switch the reports of libraries off for this process and those that it starts.

    PyTorch would also keep compiled code in ``/tmp/torchinductor_NAME``, a name that another user of the machine can
    take first and fill with code; it gets a folder in the user's own cache. Where the cache cannot be written or that
    folder is another user's, PyTorch keeps its own: it makes the folder in every training, and fails where it cannot.
    """
    for name, value in TELEMETRY_SWITCHES.items():
        os.environ.setdefault(name, value)
    if COMPILER_CACHE_VARIABLE not in os.environ and (folder := _find_compiler_cache()) is not None:
        os.environ[COMPILER_CACHE_VARIABLE] = str(folder)


def _find_compiler_cache() -> Path | None:
    """Return the folder for compiled code in the cache; ``None`` where this user cannot have one there."""
    try:
        folder = get_cache_dir().absolute() / "torchinductor"
        require_writable_place(folder)
        free = measure_free_space(folder)
        # a shared cache has one such folder, of whoever compiled first
        is_own = not folder.exists() or not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except (UserError, OSError):  # no home folder, or a disk that does not answer
        return None
    return folder if is_own and free.num_bytes > _MIN_BYTES and free.num_files != 0 else None
