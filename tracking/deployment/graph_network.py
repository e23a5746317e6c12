"""``tracking.inference.backend.Network`` over exported graphs, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.data.crops import Image
from tracking.deployment.graph_names import JOINT, RECALL, REMEMBER
from tracking.deployment.manifest import Precision, Runtime
from tracking.inference.backend import Maps

Feeds = dict[str, NDArray[Any]]
Call = Callable[[Feeds], Feeds]
"""One pass of a graph: its inputs by name to its outputs by name, which the caller may keep."""


class GraphNetwork:
    """A network behind a runtime; a batch is one pass after another.

    Args:
        calls: the graphs by name, ``tracker`` or ``remember`` and ``recall``.
        grid: cells of a side of the maps.
        runtime, precision: of the computation.
        threads: that it was given.
    """

    def __init__(
        self, calls: Mapping[str, Call], grid: int, runtime: Runtime, precision: Precision, threads: int
    ) -> None:
        self.grid = grid
        self.runtime: str = runtime
        self.precision: str = "fp32" if precision == "f32" else precision
        self.threads = threads
        self._remember, self._look = calls.get(REMEMBER), calls[RECALL if REMEMBER in calls else JOINT]

    def remember(self, template: Image) -> Feeds:
        """Keys and values of every block where the template attends to itself only; else the template itself."""
        crop = np.array(template[None], np.uint8, order="C")
        return self._remember({"template": crop}) if self._remember else {"template": crop}

    def look(self, memories: Sequence[Feeds], searches: Sequence[Image]) -> list[Maps]:
        """The maps, one region after another."""
        return [
            _maps(self._look({**memory, "search": np.ascontiguousarray(search[None])}))
            for memory, search in zip(memories, searches, strict=True)
        ]


def _maps(outputs: Feeds) -> Maps:
    return Maps(*(outputs[name][0] for name in Maps._fields))
