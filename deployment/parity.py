"""Measure how far the outputs of an exported network are from those of PyTorch, and check that against tolerances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deployment.graph_io import NamedArrays
from engine.evaluation.model_source import Precision
from foundation.errors import BenchError


class OutputTolerance(NamedTuple):
    """The largest absolute difference that an output may have.

    Attributes:
        limit: the difference.
        unit: unit of the output, with a leading space, for messages.
    """

    limit: float
    unit: str = ""


PrecisionTolerances = Mapping[Precision, Mapping[str, OutputTolerance]]
"""Tolerances of each output by precision.

For a precision without tolerances the difference is reported and accepted: int8 and bf16 round every product, and how
much that may change depends on the task, which has to judge it.
"""


def compare_outputs(reference: NamedArrays, candidate: NamedArrays) -> dict[str, float]:
    """Return the largest absolute difference of each output.

    Args:
        reference: outputs of the network in PyTorch, by name.
        candidate: outputs of the exported network for the same inputs.

    Raises:
        BenchError: the exported network has other outputs, or outputs of other shapes.

    Example:
        >>> compare_outputs({"logits": np.array([1.0, 2.0])}, {"logits": np.array([1.0, 2.5])})
        {'logits': 0.5}
    """
    # arrays of different shapes could be broadcast and compared without an error
    shapes, other_shapes = ({name: array.shape for name, array in each.items()} for each in (reference, candidate))
    if shapes != other_shapes:
        raise BenchError(f"the exported network gives {other_shapes} and PyTorch's {shapes}; export the model again")
    return {name: float(np.abs(array - candidate[name]).max()) for name, array in reference.items()}


def require_output_parity(
    differences: Mapping[str, float], tolerances: PrecisionTolerances, precision: Precision, export_name: str
) -> None:
    """Check that an exported network computes what PyTorch computes, as exactly as its precision allows.

    Args:
        differences: largest difference of each output, by a name in the plural (``logits``).
        tolerances: the tolerances of these outputs by precision.
        precision: precision of the export.
        export_name: what is exported, for the message.

    Raises:
        BenchError: a difference is not finite or exceeds its tolerance.
    """
    # for every precision: NaN would pass every comparison below
    if not np.isfinite(list(differences.values())).all():
        raise BenchError(f"{export_name} gives numbers that are not finite; nothing was written")
    limits = tolerances.get(precision, {})
    excess = [
        f"{name} differ by up to {differences[name]:.3g}{unit} ({limit:g} allowed)"
        for name, (limit, unit) in limits.items()
        if differences[name] > limit
    ]
    if excess:
        raise BenchError(f"{export_name} differs from PyTorch's network: {', '.join(excess)}; nothing was written")
