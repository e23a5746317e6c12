from __future__ import annotations

import pytest
import timm
import torch

from backbones.architectures.cifar import DummyPatchViT
from tests.backbones.architectures.checks import (
    assert_gradients_everywhere,
    count_gmacs,
    count_parameters,
    create_on_meta,
)


# 192 fewer than arithmetic with a learned class token gives (3,600,010 and 3,617,380): there is none.
@pytest.mark.parametrize(("classes", "count"), [(10, 3_599_818), (100, 3_617_188)])
def test_counts(classes: int, count: int) -> None:
    model = create_on_meta("vit_cifar", num_classes=classes)
    assert count_parameters(model) == count < 3_650_000


def test_macs_with_and_without_attention_products() -> None:
    model = create_on_meta("vit_cifar", num_classes=10)
    assert count_gmacs(model, 36) == pytest.approx((0.611, 0.514), abs=6e-4)
    # the paper's "less than 0.27 G" fits a counter that sees neither attention products nor its projections
    feed_forward = sum(block.mlp.fc1.weight.numel() + block.mlp.fc2.weight.numel() for block in model.blocks) * 145
    assert (feed_forward + 144 * model.patch_embed.proj.weight.numel()) / 1e9 == pytest.approx(0.257, abs=1e-3)


def test_there_is_no_learned_class_token() -> None:
    model = create_on_meta("vit_cifar")
    assert "cls_token" not in dict(model.named_parameters())
    assert model.pos_embed.shape == (1, 145, 192)
    with pytest.raises(ValueError, match="dummy patch"):
        create_on_meta("vit_cifar", class_token=False)


def make(**arguments: object) -> DummyPatchViT:
    torch.manual_seed(0)
    model = timm.create_model("vit_cifar", **{"depth": 2, "num_classes": 10, **arguments}).eval()
    torch.nn.init.normal_(model.patch_embed.proj.bias)
    return model


def test_the_class_feature_is_the_output_of_an_embedded_patch_of_zeros() -> None:
    model, image = make(), torch.randn(2, 3, 36, 36)
    with torch.no_grad():
        # by hand: the dummy patch as one more patch of a strip, embedded by the very same projection
        strip = torch.cat([torch.zeros(2, 3, 3, 3), image[:, :, :3]], dim=3)
        dummy = model.patch_embed.proj(strip).flatten(2).transpose(1, 2)[:, :1]
        patches = model.patch_embed.proj(image).flatten(2).transpose(1, 2)
        tokens = model.norm(model.blocks(torch.cat([dummy, patches], dim=1) + model.pos_embed))
        torch.testing.assert_close(model.forward_features(image), tokens)
        torch.testing.assert_close(model.forward_head(tokens, pre_logits=True), tokens[:, 0])
        torch.testing.assert_close(model(image), model.head(tokens[:, 0]))


def test_the_dummy_patch_is_the_projections_bias() -> None:
    model = make()
    torch.testing.assert_close(model.embed_dummy_token()[0, 0], model.patch_embed.proj.bias)


def test_intermediates_at_another_and_not_square_size() -> None:
    model = make(dynamic_img_size=True)
    with torch.no_grad():
        final, taps = model.forward_intermediates(torch.randn(1, 3, 24, 48), indices=[0, 1], output_fmt="NCHW")
        torch.testing.assert_close(model(torch.ones(1, 3, 36, 36)), make()(torch.ones(1, 3, 36, 36)))
    assert [tap.shape for tap in taps] == [(1, 192, 8, 16)] * 2
    assert final.shape == (1, 129, 192)


def test_set_input_size() -> None:
    model = make()
    model.set_input_size((48, 36))
    assert model(torch.randn(1, 3, 48, 36)).shape == (1, 10)


def test_gradients_reach_every_parameter() -> None:
    assert_gradients_everywhere(make(), torch.randn(2, 3, 36, 36))
    assert_gradients_everywhere(make(global_pool="avg"), torch.randn(2, 3, 36, 36))
