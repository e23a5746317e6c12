"""Choose the device and start the processes of a run, before any expensive work. torch is imported late."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from foundation.errors import BenchError, UserError

# torch raises a plain RuntimeError if the CPU's memory is exhausted, so only its text tells what happened
_OOM_MESSAGES = ("DefaultCPUAllocator", "out of memory", "not enough memory")

ResultT = TypeVar("ResultT")


def resolve_device(name: str) -> str:
    """Return ``cpu`` or ``cuda`` for a requested device.

    mmengine moves models to CUDA whenever it is available. For ``--device cpu`` the command line therefore hides the
    GPUs (``CUDA_VISIBLE_DEVICES``) before torch is imported; this function checks that it did.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: the device is not available.
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
    """Check that a device can train in a precision.

    Args:
        precision: ``fp32``, ``fp16`` or ``bf16``.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: fp16 without a GPU.
    """
    if precision == "fp16" and device != "cuda":
        raise UserError("precision fp16 needs a GPU; set precision=bf16 or precision=fp32")


def describe_device(device: str) -> str:
    """Return the name of the device for the record."""
    if device == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name()})"
    return "cpu"


def get_dist_info() -> tuple[int, int]:
    """Return the rank and the number of processes, as set by ``torchrun`` (0 and 1 without it)."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def init_distributed() -> None:
    """Join the process group of ``torchrun``, if there is one: nccl with one GPU per process, else gloo.

    mmengine's ``init_dist`` calls CUDA even on a CPU, so the group is created here, before the Runner.
    """
    rank, size = get_dist_info()
    if size == 1:
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    if torch.cuda.is_available():
        # each process must use its own GPU; otherwise all of them would share GPU 0
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl", rank=rank, world_size=size)
    else:
        dist.init_process_group("gloo", rank=rank, world_size=size)


def shutdown_distributed() -> None:
    """Leave the process group, if one was joined; otherwise torch prints a warning at exit."""
    # torch is not imported just to find out that it was never used
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def decide_on_rank0(decide: Callable[[], ResultT]) -> ResultT:
    """Call a function on rank 0 only and return its result on all ranks; if it raises, all ranks raise.

    Args:
        decide: the function; its result must be picklable.

    Raises:
        BenchError: the error of rank 0, on every rank.
    """
    if get_dist_info()[1] == 1:
        return decide()
    import torch.distributed as dist

    answer: list[Any] = [None]
    if get_dist_info()[0] == 0:
        try:
            answer = [("value", decide())]
        except BenchError as error:  # the error is broadcast too, or the other ranks would wait for an answer forever
            answer = [("error", error)]
    dist.broadcast_object_list(answer, src=0)
    kind, value = answer[0]
    if kind == "error":
        raise value
    return value  # type: ignore[no-any-return]


@contextmanager
def translate_oom_error() -> Iterator[None]:
    """Replace an out-of-memory error of torch by a message for users.

    Raises:
        UserError: torch is out of memory; names the settings to lower.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in _OOM_MESSAGES):
            raise
        raise UserError(
            "out of memory: split each batch into more micro-batches (--set accumulate=2, 4 ...), or lower the size of "
            "the input, the head or the batch (these three change the protocol)"
        ) from error
