"""What the tests of every architecture ask."""

from __future__ import annotations

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import backbones.architectures  # noqa: F401  (registers the models with timm)


def create_on_meta(name: str, **arguments: object) -> nn.Module:
    """The model without memory for its weights: enough to count."""
    with torch.device("meta"):
        return timm.create_model(name, **arguments).eval()


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_gmacs(model: nn.Module, side: int) -> tuple[float, float]:
    """GMACs with and without the attention products (on meta tensors attention is two batched products)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, side, side, device="meta"))
    flops = counter.get_flop_counts()["Global"]
    products = sum(count for operator, count in flops.items() if "bmm" in str(operator))
    total = counter.get_total_flops()
    return total / 2e9, (total - products) / 2e9


def assert_gradients_everywhere(model: nn.Module, image: torch.Tensor) -> None:
    model.train()
    nn.init.normal_(model.get_classifier().weight)  # timm's Hiera starts with a classifier of zeros: no gradient at all
    logits = model(image)
    torch.manual_seed(1)
    (logits * torch.randn_like(logits)).sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert not dead, f"no gradient reaches {dead[:5]}"
