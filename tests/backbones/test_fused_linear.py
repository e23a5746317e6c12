"""Linear layers through oneDNN: the features of timm's own layers, in float32 and elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import timm
import torch
from torch import nn

from backbones import fused_linear
from backbones.fused_linear import FusedLinear, fuse_linears


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fuse on any processor that has the operator."""
    monkeypatch.setattr(fused_linear, "get_processor_name", lambda: "AMD EPYC")
    fused_linear.has_fast_linear.cache_clear()
    if not fused_linear.has_fast_linear():
        pytest.skip("this torch has no linear layer of oneDNN")
    yield
    fused_linear.has_fast_linear.cache_clear()


def make_model(name: str = "vit_tiny_patch16_224", **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=0, **arguments).eval().requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, 8),
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "window_size": 2, "depths": (1, 1), "num_heads": (3, 6)}, 9),
    ],
)
@pytest.mark.usefixtures("fast")
def test_features_are_those_of_the_plain_model(name: str, arguments: dict[str, object], count: int) -> None:
    plain = make_model(name, **arguments)
    fused = copy.deepcopy(plain)
    assert fuse_linears(fused) == count
    assert fused.state_dict().keys() == plain.state_dict().keys()
    side = int(str(arguments["img_size"]))
    with torch.inference_mode():
        wanted, found = (
            model(torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))) for model in (plain, fused)
        )
    # float32 has 24 bits; sums of some hundred products in another order differ by about 1e-6
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.usefixtures("fast")
def test_gelu_moves_into_the_layer_only_where_it_is_exact() -> None:
    model = make_model(img_size=32, depth=2)
    mlp = model.get_submodule("blocks.1.mlp")
    mlp.act = nn.GELU(approximate="tanh")
    fuse_linears(model)
    fused = [model.get_submodule(f"blocks.{number}.mlp.fc1") for number in (0, 1)]
    assert [layer.applies_gelu for layer in fused if isinstance(layer, FusedLinear)] == [True, False]
    assert isinstance(mlp.act, nn.GELU)


@pytest.mark.usefixtures("fast")
def test_what_is_trained_or_watched_or_another_class_stays() -> None:
    class Own(nn.Linear):
        pass

    model = nn.Sequential(*(nn.Linear(4, 4).requires_grad_(False) for _ in range(3)), Own(4, 4).requires_grad_(False))
    model[0].bias.requires_grad_(True)
    model[1].register_forward_hook(lambda *_: None)
    assert fuse_linears(model) == 1
    assert [type(layer) for layer in model] == [nn.Linear, nn.Linear, FusedLinear, Own]


def test_other_precisions_take_torchs_layer() -> None:
    linear = nn.Linear(6, 5).double().requires_grad_(False)
    inputs = torch.randn(2, 3, 6, dtype=torch.float64)
    wanted = nn.functional.gelu(linear(inputs))
    torch.testing.assert_close(FusedLinear(linear, applies_gelu=True)(inputs), wanted, rtol=0, atol=0)


def test_gradients_by_the_inputs_are_torchs() -> None:
    linear = nn.Linear(6, 5).requires_grad_(False)
    inputs = torch.randn(3, 6, requires_grad=True)
    FusedLinear(linear)(inputs).sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(inputs.grad, linear.weight.sum(0).expand(3, 6))


def test_intel_keeps_its_own_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_linear, "get_processor_name", lambda: "Intel(R) Xeon(R) Platinum 8481C")
    fused_linear.has_fast_linear.cache_clear()
    assert fuse_linears(make_model(img_size=32, depth=1)) == 0
    fused_linear.has_fast_linear.cache_clear()


def test_a_torch_without_the_operator_keeps_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(fused_linear, "get_processor_name", lambda: "AMD EPYC")
    monkeypatch.setattr(fused_linear, "_call_onednn", fail)
    fused_linear.has_fast_linear.cache_clear()
    assert fuse_linears(make_model(img_size=32, depth=1)) == 0
    fused_linear.has_fast_linear.cache_clear()
