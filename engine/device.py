"""Choose the device and start the processes of a run, before any expensive work. torch is imported late."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from foundation.errors import BenchError, UserError
from foundation.machine.machine_load import get_processor_name

if TYPE_CHECKING:
    from torch import Tensor

# torch raises a plain RuntimeError if the CPU's memory is exhausted, so only its text tells what happened
_OOM_MESSAGES = ("DefaultCPUAllocator", "out of memory", "not enough memory")

ResultT = TypeVar("ResultT")


DEVICES = ("auto", "cpu", "cuda", "mps")
"""What ``--device`` takes. ``mps`` is the GPU of a Mac, which ``auto`` never chooses: nothing is trained there."""


def resolve_device(name: str) -> str:
    """Return ``cpu``, ``cuda`` or ``mps`` for a requested device.

    mmengine moves models to CUDA whenever it is available. For ``--device cpu`` the command line therefore hides the
    GPUs (``CUDA_VISIBLE_DEVICES``) before torch is imported; this function checks that it did.

    Args:
        name: one of ``DEVICES``; ``auto`` is CUDA where there is one, else the CPU.

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
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("no GPU of a Mac (MPS) is available to torch here; use --device cpu")
    if name not in DEVICES:
        raise UserError(f"unknown device {name!r}; choose auto, cpu, cuda or mps (a GPU by CUDA_VISIBLE_DEVICES)")
    return name


def require_training_device(device: str) -> None:
    """Check that models are trained on a device.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UserError: MPS, which lacks float64, in which losses and batch statistics are checked and summed.
    """
    if device == "mps":
        raise UserError(
            "a training does not run on MPS, which has no float64 to check its losses in; use --device cpu. Frozen "
            "backbones (knn, linear, linear_sgd, lowshot), bench evaluate, predict and track run on MPS"
        )


def keep_mmengine_off_mps() -> None:
    """Make mmengine's Runner leave models where bench puts them on a Mac.

    The Runner moves a model to MPS wherever that is available, with any ``--device``, as it does with CUDA. Without
    this, a training on a Mac would compute on its GPU, and its record would say ``cpu``.
    """
    from mmengine.device import utils

    # a constant of the module, which every part of mmengine reads when it is called
    if utils.DEVICE == "mps":
        utils.DEVICE = "cpu"


def choose_float64_device(device: str) -> str:
    """Return the device for computations in float64: this one, or the CPU in place of MPS, which lacks float64."""
    # the CPU of a Mac is the only other place, and its memory is the same
    return "cpu" if device == "mps" else device


def convert_to_float64(values: Tensor) -> Tensor:
    """Return values in float64 on their device, or on the CPU if that is MPS, which lacks float64."""
    # moved before it is converted: MPS refuses the conversion
    return (values.cpu() if values.device.type == "mps" else values).double()


def require_training_precision(precision: str, device: str) -> None:
    """Check that a device can train in a precision.

    Args:
        precision: ``fp32``, ``fp16`` or ``bf16``.
        device: ``cpu``, ``cuda`` or ``mps``.

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
    return f"mps ({get_processor_name()})" if device == "mps" else "cpu"


def get_dist_info() -> tuple[int, int]:
    """Return the rank and the number of processes, as set by ``torchrun`` or ``--launcher slurm`` (0 and 1 without)."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def require_even_batch(batch_size: int) -> None:
    """Check that the processes of the run can share a batch; plans call it before anything is written.

    Args:
        batch_size: items of one optimizer step, over all processes.

    Raises:
        UserError: it is not a multiple of their number.
    """
    processes = get_dist_info()[1]
    if batch_size % processes:
        raise UserError(f"batch_size {batch_size} cannot be split evenly over {processes} processes; set one that can")


def init_distributed() -> None:
    """Join the group of this run's processes, if there are several: nccl with one GPU per process, else gloo.

    mmengine's ``init_dist`` calls CUDA even on a CPU, so the group is created here, before the Runner.

    Raises:
        UserError: fewer GPUs are visible than processes run on this machine, or the processes cannot meet.
    """
    size = get_dist_info()[1]
    if size == 1:
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    missing = [name for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"WORLD_SIZE={size} asks for several processes, but {missing[0]} is not set; start them by: torchrun "
            "--no-python --nproc-per-node=N bench ..., or run in one process: --launcher none"
        )
    if torch.cuda.is_available():
        # each process must use its own GPU; otherwise all of them would share GPU 0
        torch.cuda.set_device(choose_local_gpu(torch.cuda.device_count(), os.environ))
        _join_group("nccl")
    else:
        _join_group("gloo")


def _join_group(backend: str) -> None:
    import torch.distributed as dist

    rank, size = get_dist_info()
    try:
        dist.init_process_group(backend, rank=rank, world_size=size)
    except (dist.DistNetworkError, dist.DistStoreError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UserError(
            f"process {rank} of {size} cannot meet the others at {where}, which MASTER_ADDR and MASTER_PORT say; if "
            f"the port is taken, set another MASTER_PORT ({str(error).splitlines()[0]})"
        ) from error


def choose_local_gpu(num_visible: int, environment: Mapping[str, str]) -> int:
    """Return the index of this process's GPU among those that it sees.

    Args:
        num_visible: number of GPUs that this process sees.
        environment: LOCAL_RANK and LOCAL_WORLD_SIZE; with Slurm also what says that each process has GPUs of its own.

    Raises:
        UserError: fewer GPUs than processes on this machine.
    """
    local, count = int(environment["LOCAL_RANK"]), int(environment.get("LOCAL_WORLD_SIZE", "1"))
    # Slurm shows each process its own GPUs alone, if asked to
    if any(name in environment for name in ("SLURM_GPUS_PER_TASK", "SLURM_NTASKS_PER_GPU")) and num_visible < count:
        return 0
    if num_visible < max(count, local + 1):
        raise UserError(
            f"{max(count, local + 1)} processes run on this machine and see {num_visible} GPU(s); start as many as "
            "there are GPUs, give each its own (srun --gpus-per-task=1), or add --device cpu"
        )
    return local


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
