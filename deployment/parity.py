"""How far the outputs of an exported network are from PyTorch's, and how far they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deployment.formats import Precision
from deployment.graph_io import NamedArrays
from foundation.errors import BenchError


class OutputTolerance(NamedTuple):
    """The largest absolute difference that an output may have, in its own ``unit``."""

    limit: float
    unit: str = ""


PrecisionTolerances = Mapping[Precision, Mapping[str, OutputTolerance]]
"""Tolerances of each output in a precision. A precision that is left out is reported as it is and not refused: int8 and
bf16 round each product, so what they may change depends on the task and is for the task to judge."""


def compare_outputs(reference: NamedArrays, candidate: NamedArrays) -> dict[str, float]:
    """The largest absolute difference of each output.

    Args:
        reference: outputs of the network in PyTorch.
        candidate: outputs of the exported network for the same inputs.

    Raises:
        BenchError: the exported network has other outputs, or outputs of other shapes.

    >>> compare_outputs({"logits": np.array([1.0, 2.0])}, {"logits": np.array([1.0, 2.5])})
    {'logits': 0.5}
    """
    shapes, other_shapes = ({name: array.shape for name, array in each.items()} for each in (reference, candidate))
    if shapes != other_shapes:
        raise BenchError(f"the exported network gives {other_shapes} and PyTorch's {shapes}; export the model again")
    return {name: float(np.abs(array - candidate[name]).max()) for name, array in reference.items()}


def require_output_parity(
    differences: Mapping[str, float], tolerances: PrecisionTolerances, precision: Precision, export_name: str
) -> None:
    """Pass an exported network that computes what PyTorch computes, as exactly as its precision allows.

    Args:
        differences: the largest difference of each output, by a name in the plural (``logits``).
        tolerances: what each of these outputs may differ by, in the precisions that are refused for a difference.
        precision: of the export.
        export_name: what is exported, for the message.

    Raises:
        BenchError: a difference is not finite, or above its tolerance.
    """
    if not np.isfinite(list(differences.values())).all():
        raise BenchError(f"{export_name} gives numbers that are not finite; nothing was written")
    limits = tolerances.get(precision, {})
    excess = [
        f"{name} differ by up to {differences[name]:.3g}{unit} ({limit:g} allowed)"
        for name, (limit, unit) in limits.items()
        if differences[name] > limit
    ]
    if excess:
        raise BenchError(f"{export_name} is not PyTorch's network: {', '.join(excess)}; nothing was written")
