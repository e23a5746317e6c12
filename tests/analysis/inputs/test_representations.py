"""What is read of a backbone, and where."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from analysis.inputs.representations import hook_outputs, read_layers
from analysis.request import READ_POINTS, ReadPoint
from backbones.create import create_backbone
from foundation.errors import BenchError, UserError


def read(name: str, at: ReadPoint, size: int | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = create_backbone(name, checkpoint="random", img_size=size, num_classes=0).model.eval()
    side = size or 224
    found: dict[str, Tensor] = {}
    read_layers(model, torch.randn(2, 3, side, side), at, lambda layer, value: found.update({layer: value}))
    return found


def test_the_papers_representations() -> None:
    torch.manual_seed(0)
    model = create_backbone("vit_tiny", checkpoint="random", img_size=32, num_classes=0).model.eval()
    images = torch.randn(2, 3, 32, 32)
    found: dict[str, Tensor] = {}
    read_layers(model, images, "papers", lambda layer, value: found.update({layer: value}))
    assert list(found) == [*(f"norm1 {number}" for number in range(12)), "final norm"], "13 of them"
    with torch.inference_mode():
        tokens = model._pos_embed(model.patch_embed(images))  # type: ignore[operator]
        for number, block in enumerate(model.blocks):  # type: ignore[arg-type]
            assert torch.equal(found[f"norm1 {number}"], block.norm1(tokens)[:, 1:]), "without the class token"
            tokens = block(tokens)
        assert torch.equal(found["final norm"], model.norm(tokens)[:, 1:])  # type: ignore[operator]


def test_a_norm_that_belongs_to_the_head_is_applied() -> None:
    torch.manual_seed(0)
    model = create_backbone("vit_nano", checkpoint="random", num_classes=0, global_pool="avg").model.eval()
    found: dict[str, Tensor] = {}
    read_layers(model, torch.randn(2, 3, 32, 32), "papers", lambda layer, value: found.update({layer: value}))
    assert float(found["final norm"].std(-1, correction=0).mean()) == pytest.approx(1, abs=1e-3)


def test_the_final_norm_of_hiera_is_in_its_head() -> None:
    found = read("hiera_lite", "papers")
    last = found["final norm"]
    assert float(last.std(-1, correction=0).mean()) == pytest.approx(1, abs=1e-3)
    assert float(last.mean(-1).abs().max()) < 1e-4


@pytest.mark.parametrize("at", READ_POINTS)
@pytest.mark.parametrize("name", ["vit_nano", "hiera_lite"])
def test_every_place_of_a_plain_vit_and_of_hiera(name: str, at: ReadPoint) -> None:
    found = read(name, at, 32 if name == "vit_nano" else None)
    assert len(found) == (4 if name == "vit_nano" else 12) + (at == "papers")
    assert all(len(value) == 2 for value in found.values())


def test_parts_that_mix_images_are_refused() -> None:
    assert len(read("swin_lite", "papers")) == 13
    with pytest.raises(BenchError, match=r"attn 0 gives 128 rows for 2 images.* choose --at blocks"):
        read("swin_lite", "attn")


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(UserError, match=r"ResNet has no transformer blocks .*; spectrum, neighbours and pca work"):
        read("timm/resnet18", "papers", 32)


def test_no_hook_is_left_after_an_error() -> None:
    model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())
    seen: list[int] = []
    with pytest.raises(ZeroDivisionError), hook_outputs(model, lambda place: lambda *_: seen.append(place)):
        model(torch.ones(1))
        raise ZeroDivisionError
    model(torch.ones(1))
    assert seen == [0, 1]
