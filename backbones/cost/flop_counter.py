"""Count the parameters, MACs and activations of a model. The counts depend on shapes only, not on device or time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

_ATEN = torch.ops.aten
# the operators that convolutions and all matrix products reach below autograd (a linear layer becomes addmm or mm)
_MAC_OPS = {_ATEN.convolution, _ATEN.mm, _ATEN.addmm, _ATEN.bmm, _ATEN.baddbmm}
# products of two activations: in vision transformers only attention has them
_BATCHED_MATMUL_OPS = {_ATEN.bmm, _ATEN.baddbmm}


@dataclass(frozen=True)
class ModelComplexity:
    """The cost of one forward pass, by counting.

    Attributes:
        parameters: number of elements of all parameters; buffers such as running statistics do not count.
        macs: multiply-accumulate operations of all convolutions and matrix products, including those of attention.
        macs_without_attention: the same without the products of two activations (q k^T, and its product with v), as
            many papers and timm's tables state it.
        activations: number of output elements of all convolutions and matrix products, as fvcore counts them;
            attention counts with its tokens x tokens matrix even where a fused kernel never stores it.
    """

    parameters: int
    macs: int
    macs_without_attention: int
    activations: int

    def as_dict(self) -> dict[str, int]:
        """Return the counts as plain data, for a record."""
        return asdict(self)


def compute_complexity(model: nn.Module, inputs: Sequence[Tensor]) -> ModelComplexity:
    """Count the cost of one forward pass of a model, including its heads.

    The pass runs in eval mode and fp32 on the meta device, which computes shapes without data; a model that does not
    work there runs as a copy on the CPU. Attention takes the path whose matrix products are visible. So the counts do
    not depend on the device or the precision of the model, and the model is left unchanged.

    Args:
        model: any module, on any device.
        inputs: the positional arguments of its ``forward``; with a batch of one image, the counts are per image.

    Returns:
        The counts.

    Example:
        >>> compute_complexity(nn.Linear(3, 5), [torch.zeros(1, 3)])
        ModelComplexity(parameters=20, macs=15, macs_without_attention=15, activations=5)
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with _eval_mode(model):
        try:
            macs, attention, activations = _count_on_meta(model, inputs)
        except (RuntimeError, NotImplementedError):
            # a tensor that is not a buffer stays on its device, and a branch on values cannot be decided without data
            macs, attention, activations = _count_on_cpu(model, inputs)
    return ModelComplexity(parameters, macs, macs - attention, activations)


def _count_on_meta(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[int, int, int]:
    """Count on the meta device; return MACs, those of attention among them, and activations."""
    # functional_call swaps in the meta tensors for one call, so the model itself keeps its weights and device
    own: Mapping[str, Tensor] = dict([*model.named_parameters(), *model.named_buffers()])
    state = {name: _as_float(tensor).to("meta") for name, tensor in own.items()}
    images = tuple(_as_float(tensor).to("meta") for tensor in inputs)
    return _count_operations(lambda: torch.func.functional_call(model, state, images))


def _count_on_cpu(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[int, int, int]:
    """Count on a CPU copy in fp32; return MACs, those of attention among them, and activations."""
    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    return _count_operations(lambda: twin(*(_as_float(tensor).cpu() for tensor in inputs)))


def _as_float(tensor: Tensor) -> Tensor:
    """Return a floating-point tensor in fp32; integers (token or position indices) keep their type."""
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()


def _count_operations(forward: Any) -> tuple[int, int, int]:
    """Count one call; return MACs, those of attention among them, and activations."""
    # SDPBackend.MATH computes attention with two visible products. Fused kernels differ by device and version, and the
    # counter counts an unknown one as 0.
    outputs, flops = _ActivationCounter(), FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel([SDPBackend.MATH]), outputs, flops:
        forward()
    by_operator = flops.get_flop_counts().get("Global", {})
    attention = sum(value for operator, value in by_operator.items() if operator in _BATCHED_MATMUL_OPS)
    return sum(by_operator.values()) // 2, attention // 2, outputs.num_elements  # it counts 2 FLOPs per MAC


class _ActivationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up the output elements of convolutions and matrix products while it is active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in _MAC_OPS:
            self.num_elements += out.numel()
        return out


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode for the block, then restore the mode of every single module.

    ``model.train(mode)`` would not do: parts of a model may be kept in eval mode on purpose, such as frozen norms.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
