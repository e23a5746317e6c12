"""The packages of the extra ``deploy``, imported when they are needed and asked for by name where they are missing."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from foundation.errors import UserError

INSTALL_COMMAND = "pip install 'litevit-bench[deploy]'"
TELEMETRY_MODULE = "openvino_telemetry"


def import_package(name: str) -> Any:
    """``onnx``, ``onnxruntime``, ``onnxruntime.quantization`` or ``openvino``, imported.

    OpenVINO reports its own import and every conversion to its maker unless a file in the user's home forbids it.
    It does without where its package for that cannot be imported, so here it cannot.

    Raises:
        UserError: not installed.
    """
    try:
        return _import_openvino() if name == "openvino" else importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"this needs the package {name.partition('.')[0]} ({error}); {INSTALL_COMMAND}") from error


def _import_openvino() -> Any:
    if sys.modules.get("openvino") is not None:
        return sys.modules["openvino"]
    absent = object()
    before: Any = sys.modules.get(TELEMETRY_MODULE, absent)
    sys.modules[TELEMETRY_MODULE] = None  # type: ignore[assignment]  # the import system's own way to say "not there"
    try:
        return importlib.import_module("openvino")
    finally:
        if before is absent:
            del sys.modules[TELEMETRY_MODULE]
        else:
            sys.modules[TELEMETRY_MODULE] = before
