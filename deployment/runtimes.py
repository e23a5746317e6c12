"""Both runtimes behind one interface: check what is installed, create the files of graphs, and load graphs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deployment import onnxruntime, openvino
from deployment.formats import ExportFormat, ExportRuntime
from deployment.graph_io import GraphCallable
from deployment.packages import import_package
from engine.evaluation.model_source import Precision, Runtime
from foundation.errors import UserError


def require_runtime(runtime: ExportRuntime, precision: Precision) -> None:
    """Check that a runtime is installed and can compute in a precision.

    Args:
        runtime: ``onnxruntime`` or ``openvino``.
        precision: the precision.

    Raises:
        UserError: a package is missing, or the runtime does not have the precision on this CPU.
    """
    # both formats are written through ONNX, so its packages are needed for OpenVINO too
    for name in ("onnx", "onnxruntime", *(["openvino"] if runtime == "openvino" else [])):
        import_package(name)
    module = openvino if runtime == "openvino" else onnxruntime
    module.require_runtime_precision(precision)


def find_fastest_runtime() -> Runtime:
    """Return the runtime that computes ViTs fastest on a CPU in f32 of those that are installed.

    The order is the measured one (docs/explanation/exports.md): OpenVINO, ONNX Runtime, PyTorch.
    """
    order: tuple[ExportRuntime, ...] = ("openvino", "onnxruntime")
    for runtime in order:
        try:
            require_runtime(runtime, "f32")
        except UserError:  # not installed
            continue
        return runtime
    return "torch"


def make_export_files(models: Mapping[str, bytes], export_format: ExportFormat) -> dict[str, bytes]:
    """Create the files of a set of graphs in a format.

    Args:
        models: ONNX models by the name of their graph.
        export_format: ``onnx`` (one file per graph) or ``openvino`` (two files per graph).

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
    """Load a set of graphs.

    Args:
        files: content or path of each file by its name, named as by ``make_export_files``.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the export.
        threads: number of threads for one call.

    Returns:
        A callable for each graph by its name.

    Raises:
        UserError: a package is missing, the precision or number of threads is not available, or a file is not a valid
            model.
    """
    # both runtimes get the bytes, so what is loaded is what was hashed
    contents = {name: file.read_bytes() if isinstance(file, Path) else file for name, file in files.items()}
    if runtime == "openvino":
        return openvino.load_graphs(contents, precision, threads)
    return onnxruntime.load_graphs(contents, precision, threads)
