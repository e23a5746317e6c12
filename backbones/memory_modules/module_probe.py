"""A digest of what a module computes: it is run on fixed images, and what comes out is hashed.

Neither the ``repr`` of a module nor its source says everything: a constant of the file, an object among its
attributes, or a file that was edited after it was imported changes the outcome and is in neither. What comes out of
the module as it is in memory depends on all of them.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

PROBE_SEED = 20_260
NUM_PROBE_IMAGES = 2
NUM_PROJECTIONS = 8
PROBE_DIGITS = {torch.float64: 7, torch.float32: 3}
"""Decimal digits of the projections that are hashed: far coarser than the rounding error of the type, so that another
number of threads or another machine gives the same digest."""


def hash_behavior(module: nn.Module, input_size: tuple[int, int, int]) -> str:
    """SHA-256 over what a copy of the module gives for fixed images, in evaluation and in training mode.

    The images and all random numbers (dropout, stochastic depth) come from fixed seeds. Outputs are projected on a few
    random vectors and rounded, because their last bits depend on the machine.

    Args:
        module: is copied, and not changed.
        input_size: channels, height and width of its input, pixels.
    """
    digest = hashlib.sha256()
    for train in (False, True):
        for name in ("forward", "forward_features"):
            digest.update(f"{train} {name} {_run_probe(module, name, train, input_size)}\n".encode())
    return digest.hexdigest()


def _run_probe(module: nn.Module, name: str, train: bool, input_size: tuple[int, int, int]) -> str:
    """The rounded projections of one method's output, or the kind of error where it cannot be called so."""
    if not hasattr(module, name):
        return "none"
    # double precision first: its rounding errors are so small that seven digits are the same everywhere. A module that
    # casts to float32 inside cannot take it
    for dtype in (torch.float64, torch.float32):
        generator = torch.Generator().manual_seed(PROBE_SEED)
        images = torch.rand((NUM_PROBE_IMAGES, *input_size), generator=generator, dtype=torch.float64).to(dtype)
        try:
            copied = copy.deepcopy(module).cpu().to(dtype).train(train)
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(PROBE_SEED)
                output = getattr(copied, name)(2 * images - 1)
        except Exception as error:  # noqa: BLE001 - code of a user; whatever goes wrong, a run will say it in full
            failure = f"{type(error).__name__}"
            continue
        return " ".join(_project(tensor, PROBE_DIGITS[dtype]) for tensor in _iterate_tensors(output))
    return failure


def _project(tensor: Tensor, digits: int) -> str:
    """A tensor's shape, and a few random projections relative to its size, rounded."""
    flat = tensor.detach().double().flatten()
    if not bool(flat.isfinite().all()):
        return f"{tuple(tensor.shape)} not finite"
    generator = torch.Generator().manual_seed(PROBE_SEED)
    # one vector at a time: a feature map may hold millions of values
    values = [
        float(flat @ torch.randn(flat.numel(), generator=generator, dtype=torch.float64))
        for _ in range(NUM_PROJECTIONS)
    ]
    norm = float(flat.norm())
    rounded = [f"{value / norm:.{digits}f}" for value in values] if norm else []
    return f"{tuple(tensor.shape)} {norm:.{digits}e} {rounded}"


def _iterate_tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _iterate_tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _iterate_tensors(value)
