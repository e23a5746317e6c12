import pytest
import torch
from torch import nn
from torch.nn import functional

from backbones.cost.flop_counter import compute_complexity
from backbones.create import create_backbone


def counts(name, size, **arguments):
    model = create_backbone(name, checkpoint="random", **arguments).model
    return compute_complexity(model, [torch.zeros(1, 3, size, size)])


def test_vit_nano_by_hand():
    linears = 17 * (64 * 3 * 64 + 64 * 64 + 2 * 64 * 256)  # qkv, proj, two of the MLP, for 16 + 1 tokens
    products = 2 * 17 * 17 * 64
    rest = 16 * (3 * 8 * 8 * 64) + 64 * 1000
    found = counts("vit_nano", 32)
    assert found.macs_without_attention == 4 * linears + rest == 3_602_944
    assert found.macs == 4 * (linears + products) + rest == 3_750_912
    outputs = 17 * (3 * 64 + 64 + 256 + 64) + (4 * 17 * 17 + 17 * 64)  # and q k^T of 4 heads, and its product with v
    assert found.activations == 4 * outputs + 16 * 64 + 1000


def test_published_numbers():
    """ViT-Tiny: 1.254 GMACs with attention products; timm's table: 1.08 and 5.97 M; ResNet-18: 1.814 and 2.48 M."""
    tiny = counts("timm/vit_tiny_patch16_224", 224)
    assert tiny.parameters == 5_717_416
    assert round(tiny.macs / 1e9, 3) == 1.254
    assert round(tiny.macs_without_attention / 1e9, 3) == 1.075
    assert round(tiny.activations / 1e6, 2) == 5.97
    resnet = counts("timm/resnet18", 224)
    assert resnet.macs == resnet.macs_without_attention == 1_814_073_344
    assert round(resnet.activations / 1e6, 2) == 2.48


def test_fused_and_written_out_attention_count_the_same():
    q = torch.zeros(1, 2, 7, 4)

    class Fused(nn.Module):
        def forward(self, x):
            return functional.scaled_dot_product_attention(x, x, x)

    class Written(nn.Module):
        def forward(self, x):
            return (x @ x.transpose(-2, -1)).softmax(-1) @ x

    assert compute_complexity(Fused(), [q]) == compute_complexity(Written(), [q])
    assert compute_complexity(Fused(), [q]).macs == 2 * 2 * 7 * 7 * 4
    assert compute_complexity(Fused(), [q]).macs_without_attention == 0


def test_batch_precision_and_device_path_do_not_matter():
    model = create_backbone("vit_pico", checkpoint="random").model
    one = compute_complexity(model, [torch.zeros(1, 3, 32, 32)])
    assert compute_complexity(model.bfloat16(), [torch.zeros(1, 3, 32, 32, dtype=torch.bfloat16)]) == one
    assert compute_complexity(model, [torch.zeros(3, 3, 32, 32)]).macs == 3 * one.macs


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).half()
    model[1].eval()
    mean = model[1].running_mean.clone()
    compute_complexity(model, [torch.ones(2, 3, 8, 8).half()])
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(p.device.type == "cpu" and p.dtype == torch.float16 for p in model.parameters())
    assert torch.equal(model[1].running_mean, mean)


class Decides(nn.Module):
    """Needs values, which the meta device has not."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x) if x.sum().item() == 0 else x


def test_a_model_that_meta_refuses_is_counted_on_a_copy():
    model = Decides().bfloat16()
    assert compute_complexity(model, [torch.zeros(2, 4)]).macs == 32
    assert model.layer.weight.dtype == torch.bfloat16


class Two(nn.Module):
    def forward(self, template, search):
        return template @ search.transpose(0, 1)


@pytest.mark.parametrize("rows", [1, 5])
def test_several_inputs(rows):
    assert compute_complexity(Two(), [torch.zeros(3, 2), torch.zeros(rows, 2)]).macs == 3 * 2 * rows
