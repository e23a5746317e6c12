"""``tracking.inference.backend.TrackerNetwork`` over exported graphs, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.data.crops import ImageArray
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH
from tracking.deployment.manifest import Precision, Runtime
from tracking.inference.backend import NumpyHeadMaps

NamedArrays = dict[str, NDArray[Any]]
GraphCallable = Callable[[NamedArrays], NamedArrays]
"""One pass of a graph: its inputs by name to its outputs by name, which the caller may keep."""


class ExportedNetwork:
    """A network behind a runtime; a batch is one pass after another.

    Args:
        graphs: the graphs by name, ``tracker`` or ``remember`` and ``recall``.
        grid_size: cells of a side of the maps.
        runtime, precision: of the computation.
        threads: that it was given.
    """

    def __init__(
        self, graphs: Mapping[str, GraphCallable], grid: int, runtime: Runtime, precision: Precision, threads: int
    ) -> None:
        self.grid_size = grid
        self.runtime: str = runtime
        self.precision: str = "fp32" if precision == "f32" else precision
        self.threads = threads
        self._template_graph, self._search_graph = (
            graphs.get(TEMPLATE_GRAPH),
            graphs[SEARCH_GRAPH if TEMPLATE_GRAPH in graphs else JOINT_GRAPH],
        )

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


def _to_maps(outputs: NamedArrays) -> NumpyHeadMaps:
    return NumpyHeadMaps(*(outputs[name][0] for name in NumpyHeadMaps._fields))
