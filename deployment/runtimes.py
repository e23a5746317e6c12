"""The two runtimes behind one interface: what is installed, files of a set of graphs, and the graphs ready to call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deployment import onnxruntime, openvino
from deployment.formats import ExportFormat, ExportRuntime, Precision
from deployment.graph_io import GraphCallable
from deployment.packages import import_package


def require_runtime(runtime: ExportRuntime, precision: Precision) -> None:
    """Pass a runtime that is installed here and can compute in a precision.

    Raises:
        UserError: a package is missing, or the runtime has no such precision on this CPU.
    """
    # both formats are written through ONNX, so its packages are needed for OpenVINO too
    for name in ("onnx", "onnxruntime", *(["openvino"] if runtime == "openvino" else [])):
        import_package(name)
    module = openvino if runtime == "openvino" else onnxruntime
    module.require_runtime_precision(precision)


def make_export_files(models: Mapping[str, bytes], export_format: ExportFormat) -> dict[str, bytes]:
    """The files of a set of graphs in a format.

    Args:
        models: ONNX models by the name of their graph.
        export_format: ``onnx`` (one file for each graph) or ``openvino`` (two).

    Returns:
        The content of each file by its name.
    """
    if export_format == "onnx":
        return {f"{graph}.onnx": content for graph, content in models.items()}
    forms = {graph: openvino.convert_to_openvino(content) for graph, content in models.items()}
    return {f"{graph}{suffix}": content for graph, form in forms.items() for suffix, content in form.items()}


def load_runtime_graphs(
    files: Mapping[str, bytes | Path], runtime: ExportRuntime, precision: Precision, threads: int
) -> dict[str, GraphCallable]:
    """A set of graphs, ready to be called with named arrays.

    Args:
        files: by name, as ``make_export_files`` gives them: their content, or where they are.
        runtime: what computes.
        precision: of the export.
        threads: for one pass.

    Returns:
        One pass of each graph by the graph's name.

    Raises:
        UserError: a package is missing, the precision or the number of threads is not available, or a file is not a
            sound model.
    """
    contents = {name: file.read_bytes() if isinstance(file, Path) else file for name, file in files.items()}
    if runtime == "openvino":
        return openvino.load_graphs(contents, precision, threads)
    return onnxruntime.load_graphs(contents, precision, threads)
