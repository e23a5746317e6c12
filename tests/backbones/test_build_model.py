"""What a run asks of a factory is followed or refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.features import count_class_tokens, extract_pooled, has_drop_path
from backbones.pooling import PoolingType
from backbones.refusals import PatchSizeError, PoolingError
from foundation.errors import UserError

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
LIMITED = ["repvit_m0_9", "efficientvit_b0", "efficientvit_m0", "ghostnetv2_100", "shvit_s1"]


@register_model
def bench_test_swallows(**kwargs: Any) -> VisionTransformer:
    """A factory that takes every argument and follows none."""
    return VisionTransformer(**SMALL, num_classes=5)


@register_model
def bench_test_own_drop_path(**kwargs: Any) -> VisionTransformer:
    """A factory with a drop path that nothing turns off."""
    asked = {name: kwargs[name] for name in ("num_classes", "global_pool") if name in kwargs}
    return VisionTransformer(**SMALL, **asked, drop_path_rate=0.2)


def make_card(architecture: str) -> BackboneCard:
    return BackboneCard(architecture, architecture, "", input_size=(3, 32, 32))


def create(name: str | BackboneCard, **arguments: Any) -> Any:
    return create_backbone(name, checkpoint="random", **arguments).model


@pytest.mark.parametrize("name", LIMITED)
def test_what_takes_no_drop_path_can_be_finetuned_without(name: str) -> None:
    asked = {"img_size": 64, "num_classes": 7, "global_pool": "avg"}
    model = create(f"timm/{name}", **asked, drop_path_rate=0.0).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    with pytest.raises(
        UserError, match=r"has no stochastic depth and the protocol asks for drop_path 0.1 .*drop_path=0"
    ):
        create(f"timm/{name}", **asked, drop_path_rate=0.1)


def test_a_drop_path_that_is_asked_for_is_there() -> None:
    assert has_drop_path(create("timm/test_vit", drop_path_rate=0.1))
    assert not has_drop_path(create("timm/test_vit", drop_path_rate=0.0))
    assert has_drop_path(create("timm/swin_tiny_patch4_window7_224"))  # timm's default
    assert not has_drop_path(create("timm/swin_tiny_patch4_window7_224", drop_path_rate=0.0))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"drop_path_rate": 0.1}, "takes the rate and ignores it"),
        ({"num_classes": 7}, "has 5 classes although 7 were asked for"),
        ({"num_classes": 5, "global_pool": "avg"}, "ignores global_pool and pools by token"),
    ],
)
def test_a_factory_that_swallows_an_argument_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        create(make_card("bench_test_swallows"), **asked)


def test_a_drop_path_that_nobody_asked_for_is_refused() -> None:
    create(make_card("bench_test_own_drop_path"))
    with pytest.raises(UserError, match="has stochastic depth of its own, although drop_path is 0"):
        create(make_card("bench_test_own_drop_path"), num_classes=7, drop_path_rate=0.0)


def test_a_pooling_is_refused_with_the_one_that_works() -> None:
    with pytest.raises(PoolingError, match=r"cannot be pooled by token: .*; set pool=avg"):
        create("timm/resnet18", num_classes=0, global_pool="token")
    with pytest.raises(PoolingError, match=r"cannot be pooled by avg: .*; set pool=token"):
        create("timm/pit_ti_224", num_classes=7, global_pool="avg")
    with pytest.raises(PoolingError, match=r"cannot be pooled by avg: .*; set pool=token"):
        create("timm/deit_tiny_distilled_patch16_224", num_classes=7, global_pool="avg")


def test_poolings_of_two_class_tokens() -> None:
    """A distilled DeiT's own head takes tokens only; frozen, its patch tokens can be averaged as any other's."""
    images = torch.zeros(1, 3, 224, 224)
    name = "timm/deit_tiny_distilled_patch16_224"
    with torch.no_grad():
        pools: tuple[PoolingType, ...] = ("token", "avg")
        for pool in pools:
            model = create(name, num_classes=0, global_pool=pool).eval()
            assert count_class_tokens(model) == 2
            tokens = model.forward_features(images)
            want = tokens[:, 0] if pool == "token" else tokens[:, 2:].mean(1)
            assert torch.allclose(extract_pooled(model, images, pool), want, atol=1e-6)
        pit = create("timm/pit_ti_224", num_classes=0, global_pool="token").eval()
        assert extract_pooled(pit, images, "token").shape == (1, 256)


@pytest.mark.parametrize("name", ["crossvit_tiny_240", "halonet26t", "efficientformer_l1"])
def test_a_size_that_fails_is_refused_at_once(name: str) -> None:
    with pytest.raises(UserError, match=r"is made for \d+ x \d+ px and fails on 128 x 128"):
        create(f"timm/{name}", img_size=128, num_classes=0)


@pytest.mark.parametrize(("name", "patch"), [("eva02_tiny_patch14_224", 14), ("vit_tiny_r_s16_p8_224", 32)])
def test_a_size_that_the_patch_does_not_divide_is_refused_with_the_patch(name: str, patch: int) -> None:
    with pytest.raises(PatchSizeError, match=f"multiples of {patch} px, not 225 x 225") as refusal:
        create(f"timm/{name}", img_size=225, num_classes=0)
    assert refusal.value.patch == (patch, patch)


def pick_smallest(module: str) -> str:
    """The model of a family whose name promises the least."""
    words = ("femto", "atto", "pico", "nano", "xxt", "xxs", "_n0", "050", "035", "xs", "tiny", "_ti", "b0", "m0", "s0")
    words += ("t0", "l1", "_s", "100", "18", "002", "small")
    names = [name for name in timm.list_models(module=module) if not name.startswith("test_")]
    return min(names, key=lambda name: (next((i for i, word in enumerate(words) if word in name), 99), len(name), name))


# of more than 100 M parameters, whatever their name
LARGE = ("deepseek_vit", "gemma4_vit", "mobilenetv5", "naflexvit", "nasnet", "pnasnet", "qwen3_vit")


@pytest.mark.soak
@pytest.mark.parametrize("module", [name for name in timm.list_modules() if name not in LARGE])
def test_every_family_works_or_says_why_not(module: str) -> None:
    """At the sizes of the protocols; an exception other than a UserError fails."""
    name = f"timm/{pick_smallest(module)}"
    for size, asked in (
        (224, {"num_classes": 7, "global_pool": "avg", "drop_path_rate": 0.0}),
        (224, {"num_classes": 7, "global_pool": "avg", "drop_path_rate": 0.1}),
        (224, {"num_classes": 0, "global_pool": "token"}),
        (224, {"num_classes": 0, "global_pool": "avg"}),
        (32, {"num_classes": 0, "global_pool": "avg"}),
        (512, {"num_classes": 0}),
    ):
        pool: PoolingType = "token" if asked.get("global_pool") == "token" else "avg"
        try:
            model = create(name, img_size=size, **asked).eval().to("meta")
            images = torch.zeros(2, 3, size, size, device="meta")
            with torch.no_grad():
                out = model(images) if asked["num_classes"] else extract_pooled(model, images, pool)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert len(out) == 2
