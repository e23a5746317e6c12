"""``tracking.inference.backend.TrackerNetwork`` over exported graphs, whatever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deployment.formats import ExportRuntime, Precision
from deployment.graph_io import GraphCallable, NamedArrays
from deployment.runtimes import load_runtime_graphs
from tracking.data.crops import ImageArray
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH
from tracking.inference.backend import NumpyHeadMaps


class ExportedNetwork:
    """A network behind a runtime; a batch is one pass after another.

    Args:
        graphs: the graphs by name, one of both crops or one for each (``graph_names``).
        grid_size: cells of a side of the maps.
        runtime, precision: of the computation.
        threads: that it was given.
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
        self.precision: str = "fp32" if precision == "f32" else precision
        self.threads = threads
        self._template_graph = graphs.get(TEMPLATE_GRAPH)
        self._search_graph = graphs[SEARCH_GRAPH if TEMPLATE_GRAPH in graphs else JOINT_GRAPH]

    def encode_template(self, template: ImageArray) -> NamedArrays:
        """Keys and values of every block where the template attends to itself only; else the template itself."""
        crop = np.array(template[None], np.uint8, order="C")
        return self._template_graph({"template": crop}) if self._template_graph else {"template": crop}

    def predict_maps(
        self, encoded_templates: Sequence[NamedArrays], search_crops: Sequence[ImageArray]
    ) -> list[NumpyHeadMaps]:
        """The maps, one region after another."""
        return [
            _to_maps(self._search_graph({**memory, "search": np.ascontiguousarray(search[None])}))
            for memory, search in zip(encoded_templates, search_crops, strict=True)
        ]


def build_exported_network(
    files: Mapping[str, bytes], runtime: ExportRuntime, precision: Precision, threads: int, grid_size: int
) -> ExportedNetwork:
    """The network of an export's files, by name."""
    graphs = load_runtime_graphs(files, runtime, precision, threads)
    return ExportedNetwork(graphs, grid_size, runtime, precision, threads)


def _to_maps(outputs: NamedArrays) -> NumpyHeadMaps:
    return NumpyHeadMaps(*(outputs[name][0] for name in NumpyHeadMaps._fields))
