"""Import the packages of the extra ``deploy`` when they are needed, and say how to install them if they are missing."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from foundation.errors import UserError
from foundation.network.telemetry import switch_telemetry_off

INSTALL_COMMAND = "pip install 'litevit-bench[deploy]'"
TELEMETRY_MODULE = "openvino_telemetry"


def import_package(name: str) -> Any:
    """Import a package.

    OpenVINO reports its import and every conversion to its manufacturer unless a file in the user's home directory
    forbids it. It does not if its package for that cannot be imported, so here that package cannot be imported. ONNX
    Runtime reads a variable when it is loaded.

    Args:
        name: ``onnx``, ``onnxruntime``, ``onnxruntime.quantization`` or ``openvino``.

    Raises:
        UserError: the package is not installed.
    """
    switch_telemetry_off()
    try:
        return _import_openvino() if name == "openvino" else importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"this needs the package {name.partition('.')[0]} ({error}); {INSTALL_COMMAND}") from error


def _import_openvino() -> Any:
    """Import OpenVINO while its telemetry package cannot be imported."""
    # imported before, by us or by the caller; telemetry is decided at the first import
    if sys.modules.get("openvino") is not None:
        return sys.modules["openvino"]
    absent = object()
    before: Any = sys.modules.get(TELEMETRY_MODULE, absent)
    sys.modules[TELEMETRY_MODULE] = None  # type: ignore[assignment]  # Python then reports the package as missing
    try:
        return importlib.import_module("openvino")
    finally:
        # only the import of OpenVINO is affected: other users of the package find it as it was
        if before is absent:
            del sys.modules[TELEMETRY_MODULE]
        else:
            sys.modules[TELEMETRY_MODULE] = before
