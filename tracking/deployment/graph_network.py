"""The tracker's network as exported graphs, in any runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deployment.formats import ExportRuntime
from deployment.graph_io import GraphCallable, NamedArrays
from deployment.runtimes import load_runtime_graphs
from engine.evaluation.model_source import Precision
from tracking.data.crops import ImageArray
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH
from tracking.inference.backend import NumpyBestCell, NumpyHeadMaps, NumpyOutputs


class ExportedNetwork:
    """A ``TrackerNetwork`` of exported graphs. The targets of a batch are processed one after another.

    Args:
        graphs: the graphs by name: one for both crops, or one for each crop (see ``graph_names``).
        grid_size: number of cells per side of the maps.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the runtime.
        threads: number of threads for one call.
    """

    def __init__(
        self,
        graphs: Mapping[str, GraphCallable],
        grid_size: int,
        runtime: ExportRuntime,
        precision: Precision,
        threads: int,
    ) -> None:
        self.grid_size = grid_size
        self.runtime: str = runtime
        # records use the same name as for torch
        self.precision: str = "fp32" if precision == "f32" else precision
        self.threads = threads
        self._template_graph = graphs.get(TEMPLATE_GRAPH)
        self._search_graph = graphs[SEARCH_GRAPH if TEMPLATE_GRAPH in graphs else JOINT_GRAPH]

    def encode_template(self, template: ImageArray) -> NamedArrays:
        """Return what the template graph gives; in older exports of a single graph the template crop itself.

        Args:
            template: the template crop, bytes of shape (side, side, 3).
        """
        # a copy: the crop may be a view of a frame, and it is used for every later frame
        crop = np.array(template[None], np.uint8, order="C")
        return self._template_graph({"template": crop}) if self._template_graph else {"template": crop}

    def predict_maps(
        self, encoded_templates: Sequence[NamedArrays], search_crops: Sequence[ImageArray]
    ) -> list[NumpyOutputs]:
        """Return the outputs for the search regions, computed one after another.

        Args:
            encoded_templates: the encoded template of each target.
            search_crops: the search crop of each target, bytes of shape (side, side, 3).
        """
        return [
            _unpack_outputs(self._search_graph({**memory, "search": np.ascontiguousarray(search[None])}))
            # the graphs have static shapes with a batch of one
            for memory, search in zip(encoded_templates, search_crops, strict=True)
        ]


def build_exported_network(
    files: Mapping[str, bytes], runtime: ExportRuntime, precision: Precision, threads: int, grid_size: int
) -> ExportedNetwork:
    """Build the network from the files of an export.

    Args:
        files: the content of each file by its name.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the export.
        threads: number of threads for one call.
        grid_size: number of cells per side of the maps.

    Raises:
        UserError: a package is missing, or the runtime cannot load the files.
    """
    graphs = load_runtime_graphs(files, runtime, precision, threads)
    return ExportedNetwork(graphs, grid_size, runtime, precision, threads)


def _unpack_outputs(outputs: NamedArrays) -> NumpyOutputs:
    """Return a graph's outputs without the batch dimension."""
    if "cell" not in outputs:  # an older export
        return NumpyHeadMaps(*(outputs[name][0] for name in NumpyHeadMaps._fields))
    return NumpyBestCell(outputs["score"][0], int(outputs["cell"][0]), outputs["size"][0], outputs["offset"][0])
