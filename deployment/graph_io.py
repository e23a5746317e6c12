"""The inputs and outputs of an exported graph: arrays by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

NamedArrays = dict[str, NDArray[Any]]
GraphCallable = Callable[[NamedArrays], NamedArrays]
"""Runs a graph once: takes its inputs by name and returns its outputs by name. The caller may keep the outputs."""
