"""Keep libraries from reporting to their makers, and from sharing compiled code in a folder of all users."""

from __future__ import annotations

import os

from foundation.environment import get_cache_dir
from foundation.errors import UserError

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


def switch_telemetry_off() -> None:
    """Switch the reports of libraries off for this process and those that it starts.

    PyTorch would also keep compiled code in ``/tmp/torchinductor_NAME``, a name that another user of the machine can
    take first and fill with code; it gets a folder in the user's own cache.
    """
    for name, value in TELEMETRY_SWITCHES.items():
        os.environ.setdefault(name, value)
    if COMPILER_CACHE_VARIABLE not in os.environ:
        try:
            os.environ[COMPILER_CACHE_VARIABLE] = str(get_cache_dir() / "torchinductor")
        except UserError:  # a user without a home folder; nothing is compiled unless that is asked for
            return
