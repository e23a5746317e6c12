"""Where the network of a finished model is computed. Imports no torch itself."""

from __future__ import annotations

from engine.device import resolve_device
from engine.evaluation.model_source import ModelSource
from foundation.errors import UserError


def resolve_network_device(source: ModelSource) -> str:
    """Return ``cpu``, ``cuda`` or ``mps``: that of PyTorch, or the CPU, on which every exported network computes.

    Without this, the record of an exported model would name the GPU of the machine, which was left alone.

    Args:
        source: the model, and how it is applied.

    Raises:
        UserError: the device is not available, or a GPU is asked for with an exported network.
    """
    if source.runtime == "torch":
        return resolve_device(source.device)
    # by default there is no contradiction, a GPU is only left alone; whether there is one does not matter here
    if source.device not in ("auto", "cpu"):
        raise UserError(f"an exported model computes on the CPU; leave out --device {source.device}")
    return "cpu"
