"""Peak memory of a forward pass: the allocator's own on a GPU, live tensors on a CPU."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MEMORY_METHODS = {
    "cuda": "peak of the CUDA allocator over what was held before: weights, inputs, live tensors, workspaces",
    "cpu": "weights and inputs, plus the peak of live tensors between operators (no operator-internal scratch)",
}
"""What the number is, by device type; it stands beside the number."""


def measure_peak_memory(model: nn.Module, inputs: Sequence[Tensor], baseline_bytes: int = 0) -> int:
    """Bytes that one forward pass needs at its peak, weights and inputs included.

    On a CPU the tensors are counted, not the process: its resident set holds Python, libraries and whatever the C
    allocator kept of earlier runs, so it tells one model from another only by luck.

    Args:
        model: in the mode to be measured.
        inputs: its positional arguments, on its device.
        baseline_bytes: bytes of the CUDA allocator before the model was there.
    """
    if inputs[0].device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            model(*inputs)
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated()) - baseline_bytes
    base = {_get_storage(tensor)._cdata: _get_storage(tensor).nbytes() for tensor in _resident_tensors(model, inputs)}
    live = _LiveMemoryCounter(base.keys())
    with torch.inference_mode(), live:
        model(*inputs)
    return int(sum(base.values())) + live.peak_bytes


def _resident_tensors(model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    return [*model.parameters(), *model.buffers(), *inputs]


def _get_storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()


class _LiveMemoryCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages that operators make, from birth to release; views share theirs and cost nothing."""

    def __init__(self, known_storages: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known_storages = frozenset(known_storages)
        self._live_storages: dict[int, int] = {}
        self.current_bytes = 0
        self.peak_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._add_storage(_get_storage(tensor))
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)
        return out

    def _add_storage(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known_storages or key in self._live_storages:
            return
        self._live_storages[key] = storage.nbytes()
        self.current_bytes += storage.nbytes()
        release: Callable[[int], None] = self._release_storage
        weakref.finalize(storage, release, key)

    def _release_storage(self, key: int) -> None:
        self.current_bytes -= self._live_storages.pop(key)
