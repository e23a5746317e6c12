"""Measure the peak memory of a forward pass: by the allocator on a GPU, by live tensors on a CPU."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MEMORY_METHODS = {
    "cuda": "peak of the CUDA allocator minus what was allocated before: weights, inputs, live tensors, workspaces",
    # torch has no peak of the allocator of MPS
    "mps": "weights and inputs, plus the peak of live tensors between operators (no scratch memory inside operators)",
    "cpu": "weights and inputs, plus the peak of live tensors between operators (no scratch memory inside operators)",
}
"""How the memory was measured, by device type; displayed next to the number."""


def measure_peak_memory(model: nn.Module, inputs: Sequence[Tensor], baseline_bytes: int = 0) -> int:
    """Measure the peak memory of one forward pass in bytes, including weights and inputs.

    On a CPU, tensors are counted instead of the memory of the process. The resident set also holds Python, libraries
    and whatever the C allocator has not returned from earlier runs, so it would not compare models.

    Args:
        model: the model, in the mode that is to be measured.
        inputs: the positional arguments of its ``forward``, on its device.
        baseline_bytes: bytes that the CUDA allocator held before the model was created; ignored on a CPU.

    Returns:
        Bytes.
    """
    # kernels run asynchronously: without waiting, the peak of earlier work would be counted, or this one missed
    if inputs[0].device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            model(*inputs)
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated()) - baseline_bytes
    # by storage, so that tied weights and views count once
    base = {_get_storage(tensor)._cdata: _get_storage(tensor).nbytes() for tensor in _resident_tensors(model, inputs)}
    live = _LiveMemoryCounter(base.keys())
    with torch.inference_mode(), live:
        model(*inputs)
    return int(sum(base.values())) + live.peak_bytes


def _resident_tensors(model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors that are in memory before the pass starts."""
    return [*model.parameters(), *model.buffers(), *inputs]


def _get_storage(tensor: Tensor) -> Any:
    """Return the storage behind a tensor; its ``_cdata`` identifies the memory."""
    return tensor.untyped_storage()


class _LiveMemoryCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Track the storages that operators allocate, from allocation to release, while it is active.

    Views share the storage of their base and cost nothing.

    Args:
        known_storages: ``_cdata`` of the storages that existed before and are not counted.
    """

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
        # here both the inputs and the outputs of the operator are alive
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)
        return out

    def _add_storage(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known_storages or key in self._live_storages:
            return
        self._live_storages[key] = storage.nbytes()
        self.current_bytes += storage.nbytes()
        # called when the last tensor on this storage is gone; only the key is kept, since a reference to the storage
        # would keep it alive
        release: Callable[[int], None] = self._release_storage
        weakref.finalize(storage, release, key)

    def _release_storage(self, key: int) -> None:
        self.current_bytes -= self._live_storages.pop(key)
