"""Faster linear layers for frozen models on CPUs for which torch's own matrix products are not made.

torch multiplies float32 matrices with Intel's MKL, which does not use AVX-512 on processors of other makers: there
oneDNN, which torch also brings, is 2.2 times as fast (docs/explanation/measurements.md). oneDNN also applies an exact
GELU while a result is still in the cache. Both sum the same products in another order, so results differ in last bits.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from foundation.machine.machine_load import get_processor_name

PROBE_TOLERANCE = 1e-5
"""Largest relative difference from torch's own layer; sums of float32 differ by about 1e-6."""


class FusedLinear(nn.Module):
    """A linear layer without gradients, with the names and the values of the parameters of the one that it replaces.

    Args:
        linear: the layer; its parameters are shared, not copied.
        applies_gelu: whether the exact GELU follows.
    """

    def __init__(self, linear: nn.Linear, applies_gelu: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.applies_gelu = applies_gelu

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the layer for inputs (..., in_features)."""
        is_plain = inputs.dtype == self.weight.dtype == torch.float32 and inputs.device.type == "cpu"
        # oneDNN's operator has no gradient, which torch would not say, and does not follow autocast
        if is_plain and inputs.numel() and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
            return _call_onednn(inputs, self.weight, self.bias, self.applies_gelu)
        values = nn.functional.linear(inputs, self.weight, self.bias)
        return nn.functional.gelu(values) if self.applies_gelu else values


def fuse_linears(model: nn.Module) -> int:
    """Replace the linear layers of a frozen model by faster ones, where this machine has any.

    A layer of another class than ``nn.Linear``, with hooks, or with parameters that are trained stays as it is; so
    does the whole model on Intel's processors, for which MKL is made.

    Args:
        model: a model in eval mode, in float32 on the CPU; changed in place.

    Returns:
        How many layers were replaced.
    """
    if not has_fast_linear():
        return 0
    count = 0
    for part in list(model.modules()):
        for name, layer in list(part.named_children()):
            if type(layer) is nn.Linear and _is_replaceable(layer):
                # a Mlp is fc1, act, drop1, norm, fc2, drop2: GELU follows its first layer directly
                gelu = name == "fc1" and type(part) is Mlp and _is_exact_gelu(part.get_submodule("act"))
                setattr(part, name, FusedLinear(layer, gelu))
                if gelu:
                    part.act = nn.Identity()
                count += 1
    return count


@cache
def has_fast_linear() -> bool:
    """Return whether oneDNN's linear layer is there, right, and worth while on this processor."""
    library: Any = torch.backends.mkldnn
    if "intel" in get_processor_name().lower() or not library.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    inputs, weight, bias = (torch.randn(size, generator=generator) for size in ((3, 5, 24), (16, 24), (16,)))
    wanted = nn.functional.gelu(nn.functional.linear(inputs, weight, bias))
    try:
        found = _call_onednn(inputs, weight, bias, applies_gelu=True)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):  # an operator of torch's own compiler
        return False
    return bool((found - wanted).abs().max() <= PROBE_TOLERANCE * wanted.abs().max())


def _is_replaceable(layer: nn.Linear) -> bool:
    hooks = (layer._forward_hooks, layer._forward_pre_hooks)
    is_frozen = not any(value.requires_grad for value in layer.parameters())
    is_plain = layer.weight.dtype == torch.float32 and layer.weight.device.type == "cpu"
    return is_frozen and is_plain and not any(hooks)


def _is_exact_gelu(layer: nn.Module) -> bool:
    """Return whether a layer is x * Phi(x), and not the approximation with tanh."""
    return type(layer) is nn.GELU and layer.approximate == "none"


def _call_onednn(inputs: Tensor, weight: Tensor, bias: Tensor | None, applies_gelu: bool) -> Tensor:
    # arguments: what follows the product, its numbers (none), and which GELU ("none": not approximated)
    follows: tuple[str, list[Any], str] = ("gelu", [], "none") if applies_gelu else ("none", [], "")
    result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, *follows)
    return result
