"""How a test set or a video is tracked. Imports nothing heavy: the command line takes its choices from here."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Runtime = Literal["torch", "onnxruntime", "openvino"]
"""What computes the network: PyTorch, or a runtime of ``deployment.formats`` after an export."""

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)


class TrackingOptions(NamedTuple):
    """How a test set is tracked.

    Attributes:
        num_processes: on a CPU, of one thread each; ``None``: as many as cores.
        batch_size: on a GPU, sequences side by side.
    """

    num_processes: int | None = None
    batch_size: int = 16
