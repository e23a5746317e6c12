"""What a model costs by its shapes alone: parameters, MACs, activations. No clock, no device."""

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
_MAC_OPS = {_ATEN.convolution, _ATEN.mm, _ATEN.addmm, _ATEN.bmm, _ATEN.baddbmm}
_BATCHED_MATMUL_OPS = {_ATEN.bmm, _ATEN.baddbmm}


@dataclass(frozen=True)
class ModelComplexity:
    """What one forward pass costs.

    Attributes:
        parameters: elements of all parameters (buffers, such as running statistics, are none).
        macs: multiply-accumulates of all convolutions and matrix products, attention products included.
        macs_without_attention: the same without batched products of two activations (q k^T and its product with v),
            as many papers and timm's tables state it.
        activations: elements of the outputs of all convolutions and matrix products, with attention written out
            (the T x T matrix counts), as fvcore counts them.
    """

    parameters: int
    macs: int
    macs_without_attention: int
    activations: int

    def as_dict(self) -> dict[str, int]:
        """The counts as plain data, for a record."""
        return asdict(self)


def compute_complexity(model: nn.Module, inputs: Sequence[Tensor]) -> ModelComplexity:
    """Count a model, heads and all, on example inputs; of a batch of one, the counts are per image.

    Shapes decide, not data: the pass runs in fp32 on the meta device (where that is refused, on a CPU copy), in eval
    mode, with attention on the path that shows its products. So the outcome never depends on device or precision.
    The model is left as it was.

    Args:
        model: any module, on any device.
        inputs: its positional arguments.

    Example:
        >>> compute_complexity(nn.Linear(3, 5), [torch.zeros(1, 3)])
        ModelComplexity(parameters=20, macs=15, macs_without_attention=15, activations=5)
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with _eval_mode(model):
        try:
            macs, attention, activations = _count_on_meta(model, inputs)
        except (RuntimeError, NotImplementedError):  # a tensor that is no buffer, or a decision that needs values
            macs, attention, activations = _count_on_cpu(model, inputs)
    return ModelComplexity(parameters, macs, macs - attention, activations)


def _count_on_meta(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[int, int, int]:
    own: Mapping[str, Tensor] = dict([*model.named_parameters(), *model.named_buffers()])
    state = {name: _as_float(tensor).to("meta") for name, tensor in own.items()}
    images = tuple(_as_float(tensor).to("meta") for tensor in inputs)
    return _count_operations(lambda: torch.func.functional_call(model, state, images))


def _count_on_cpu(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[int, int, int]:
    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    return _count_operations(lambda: twin(*(_as_float(tensor).cpu() for tensor in inputs)))


def _as_float(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()


def _count_operations(forward: Any) -> tuple[int, int, int]:
    """MACs, those of attention among them, and activations of one call."""
    # The maths path: fused kernels differ by device and version, and the counter may not know one (counting it as 0).
    outputs, flops = _ActivationCounter(), FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel([SDPBackend.MATH]), outputs, flops:
        forward()
    by_operator = flops.get_flop_counts().get("Global", {})
    attention = sum(value for operator, value in by_operator.items() if operator in _BATCHED_MATMUL_OPS)
    return sum(by_operator.values()) // 2, attention // 2, outputs.num_elements  # the counter's FLOPs are 2 a MAC


class _ActivationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the output elements of convolutions and matrix products."""

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
    """Eval mode for a while; every module gets its own mode back (parts may be frozen in eval)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
