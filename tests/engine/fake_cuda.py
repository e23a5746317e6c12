"""A model on a CUDA device that nobody needs to have: tensors with shapes and devices, and no contents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv


@contextmanager
def use_fake_cuda() -> Iterator[None]:
    """Operations within compute shapes and devices only; one that mixes a CPU tensor with one on CUDA raises.

    Counts that depend on contents (``nonzero``) are symbols. Nothing is differentiated: backward starts a CUDA stream,
    which needs a device.
    """
    with torch.no_grad(), FakeTensorMode(shape_env=ShapeEnv()):
        yield


def make_fake(tensor: Tensor) -> Tensor:
    """Return a tensor like another one, on the fake device; call it within ``use_fake_cuda``."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")


def move_to_fake(model: nn.Module) -> Any:
    """Make parameters and buffers anew on the fake device, and nothing else.

    What a model keeps outside of them (a table in an attribute) stays where it was, as with ``Module.to``.
    """
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                # not trained: without gradients, in-place operations on leaves are allowed
                module._parameters[name] = nn.Parameter(make_fake(parameter), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = make_fake(buffer)
    return model


def require_on_cuda(found: Any) -> None:
    """Check that the tensors of a result, at least one, are all on CUDA."""
    tensors = [each for each in torch.utils._pytree.tree_leaves(found) if isinstance(each, Tensor)]
    assert tensors
    assert {each.device.type for each in tensors} == {"cuda"}
