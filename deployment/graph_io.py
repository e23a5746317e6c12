"""What goes into an exported graph and what comes out: arrays by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

NamedArrays = dict[str, NDArray[Any]]
GraphCallable = Callable[[NamedArrays], NamedArrays]
"""One pass of a graph, from its inputs by name to its outputs by name. The caller may keep the outputs."""
