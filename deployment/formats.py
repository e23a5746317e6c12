"""The export formats, the runtimes that run them, and their precisions. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

ExportFormat = Literal["onnx", "openvino"]
ExportRuntime = Literal["onnxruntime", "openvino"]

EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)

RUNTIME_BY_FORMAT: dict[ExportFormat, ExportRuntime] = {"onnx": "onnxruntime", "openvino": "openvino"}
FORMAT_BY_RUNTIME: dict[ExportRuntime, ExportFormat] = {
    runtime: export_format for export_format, runtime in RUNTIME_BY_FORMAT.items()
}
# OpenVINO stores the graph and its weights in separate files
SUFFIXES_BY_FORMAT: dict[ExportFormat, tuple[str, ...]] = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}


def list_graph_files(graph_names: Iterable[str], export_format: ExportFormat) -> list[str]:
    """Return the names of the files that a set of graphs has in a format.

    Args:
        graph_names: names of the graphs.
        export_format: ``onnx`` or ``openvino``.

    Example:
        >>> list_graph_files(["classifier"], "openvino")
        ['classifier.xml', 'classifier.bin']
    """
    return [f"{name}{suffix}" for name in graph_names for suffix in SUFFIXES_BY_FORMAT[export_format]]
