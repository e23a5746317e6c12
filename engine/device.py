"""Devices and processes: one choice for a run, checked before anything heavy starts. torch is imported late."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from foundation.errors import BenchError, UserError

_OOM_MESSAGES = ("DefaultCPUAllocator", "out of memory", "not enough memory")

ResultT = TypeVar("ResultT")


def resolve_device(name: str) -> str:
    """``cpu`` or ``cuda`` from ``auto``, ``cpu`` or ``cuda``.

    mmengine moves models to CUDA wherever it sees one, so the command line hides it (``CUDA_VISIBLE_DEVICES``)
    for ``--device cpu`` before torch is imported; here the outcome is checked.

    Raises:
        UserError: the device is not there.
    """
    import torch

    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name == "cuda" and not available:
        raise UserError("no CUDA device is visible; use --device cpu, or see: bench doctor")
    if name == "cpu" and available:
        raise UserError("--device cpu needs CUDA hidden before torch starts; set CUDA_VISIBLE_DEVICES=-1")
    if name not in ("cpu", "cuda"):
        raise UserError(f"unknown device {name!r}; choose auto, cpu or cuda (pick a GPU by CUDA_VISIBLE_DEVICES)")
    return name


def require_training_precision(precision: str, device: str) -> None:
    """Pass only what the device can train in.

    Raises:
        UserError: fp16 without a GPU.
    """
    if precision == "fp16" and device != "cuda":
        raise UserError("precision fp16 needs a GPU; set precision=bf16 or precision=fp32")


def describe_device(device: str) -> str:
    """The device in words, for the record."""
    if device == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name()})"
    return "cpu"


def get_dist_info() -> tuple[int, int]:
    """Rank and number of processes, as ``torchrun`` set them (0, 1 without it)."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def init_distributed() -> None:
    """Join the process group that ``torchrun`` prepared, if any: nccl with a GPU each, else gloo.

    mmengine's own ``init_dist`` calls CUDA even on a CPU, so the group is made here, before the Runner.
    """
    rank, size = get_dist_info()
    if size == 1:
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl", rank=rank, world_size=size)
    else:
        dist.init_process_group("gloo", rank=rank, world_size=size)


def shutdown_distributed() -> None:
    """Leave the process group, if one was joined; without it torch complains at exit."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def decide_on_rank0(decide: Callable[[], ResultT]) -> ResultT:
    """Let rank 0 decide and tell the others; where it raises, all raise.

    Raises:
        BenchError: rank 0's own, on every rank.
    """
    if get_dist_info()[1] == 1:
        return decide()
    import torch.distributed as dist

    answer: list[Any] = [None]
    if get_dist_info()[0] == 0:
        try:
            answer = [("value", decide())]
        except BenchError as error:
            answer = [("error", error)]
    dist.broadcast_object_list(answer, src=0)
    kind, value = answer[0]
    if kind == "error":
        raise value
    return value  # type: ignore[no-any-return]


@contextmanager
def translate_oom_error() -> Iterator[None]:
    """Turn an out-of-memory error of torch, which is worded for its developers, into a sentence for users.

    Raises:
        UserError: naming what to lower.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in _OOM_MESSAGES):
            raise
        raise UserError(
            "out of memory: split each batch into more pieces (--set accumulate=2, 4 ...), or lower the size of the "
            "input, of the head, or of the batch (those three make another protocol)"
        ) from error
