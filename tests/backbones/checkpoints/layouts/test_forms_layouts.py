"""Checkpoints in other projects' names and shapes load with equal features, or are refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from backbones.checkpoints.layouts import find_layout
from backbones.checkpoints.load_weights import LoadReport, load_weight_file
from backbones.checkpoints.read_checkpoint import read_weights
from foundation.errors import CheckpointError
from tests.backbones.checkpoints.layouts import foreign_layouts as write
from tests.backbones.checkpoints.weights import make_swin, make_vit

State = dict[str, Tensor]
VIT = {"img_size": 64, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 10}


def make(name: str, **settings: Any) -> Callable[[], nn.Module]:
    """Return what creates a small timm model."""

    def build() -> nn.Module:
        model: nn.Module = timm.create_model(name, **settings)
        return model

    return build


make_distilled = make("deit_tiny_distilled_patch16_224", **VIT)
make_token_beit = make("beit_base_patch16_224", **VIT, global_pool="token")
make_dinov2 = make("vit_small_patch14_dinov2", **{**VIT, "img_size": 56})
make_register_dinov2 = make("vit_small_patch14_reg4_dinov2", **{**VIT, "img_size": 56})
make_gated_dinov2 = make("vit_giant_patch14_dinov2", **{**VIT, "img_size": 56})
make_clip = make("vit_base_patch16_clip_224", **VIT)
make_quick_clip = make("vit_base_patch16_clip_quickgelu_224", **VIT)
make_siglip = make("vit_base_patch16_siglip_224", **VIT)
make_pooled_siglip = make("vit_base_patch16_siglip_gap_224", **VIT)
make_eva_tiny = make("eva02_tiny_patch14_224", **{**VIT, "img_size": 56})
make_eva_base = make("eva02_base_patch14_224", **{**VIT, "img_size": 56})
make_dinov3 = make("vit_small_patch16_dinov3_qkvb", **VIT)
make_plain_dinov3 = make("vit_small_patch16_dinov3", **VIT)
make_resnet = make("resnet18", num_classes=10)
CONVNEXT = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32), "num_classes": 10}
make_convnext = make("convnext_tiny", **CONVNEXT, ls_init_value=1e-6)
make_convnext_v2 = make("convnextv2_atto", **CONVNEXT)
make_layer_scale_vit = make("vit_tiny_patch16_224", **VIT, init_values=1.0)


class Form(NamedTuple):
    """A form of a checkpoint.

    Attributes:
        make_model: creates the model whose weights are written, and the one that they are loaded into.
        write: gives the weights the other project's names and shapes.
        format: the layout's name in the record; "" where the file is found by its wrapper only.
        container: the key under which the file has its weights, "" for the top level.
        dropped: starts of lines of the load report.
        notes: parts of notes of the load report.
        prepare: changes the source's state before it is written, where the files have more than timm's models.
    """

    make_model: Callable[[], nn.Module]
    write: write.Writer
    format: str = ""
    container: str = ""
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    prepare: write.Writer = dict


FORMS = {
    "hf-vit": Form(make_vit, write.hf_vit_model, "transformers ViT", dropped=("pooler.dense.weight",)),
    "hf-vit-classifier": Form(make_vit, write.hf_vit_classifier, "transformers ViT", dropped=("classifier.weight",)),
    "hf-vit-mae": Form(
        make_vit, write.hf_vit_mae, "transformers ViT", dropped=("decoder.decoder_embed.weight", "decoder.mask_token")
    ),
    "hf-deit": Form(
        make_distilled, write.hf_deit, "transformers DeiT", dropped=("cls_classifier.bias", "distillation_classifier")
    ),
    "hf-beit": Form(make_token_beit, write.hf_beit, "transformers BEiT", dropped=("mask_token", "lm_head.weight")),
    "hf-dinov2": Form(make_dinov2, write.hf_dinov2, "transformers DINOv2", dropped=("mask_token",)),
    "hf-dinov2-registers": Form(
        make_register_dinov2,
        write.hf_dinov2,
        "transformers DINOv2",
        prepare=write.with_class_row,
        notes=("added to the class token",),
    ),
    "hf-dinov2-giant": Form(make_gated_dinov2, write.hf_dinov2_swiglu, "transformers DINOv2"),
    "hf-swin": Form(make_swin, write.hf_swin, "transformers Swin", dropped=("classifier.weight",)),
    "hf-convnext": Form(make_convnext, write.hf_convnext, "transformers ConvNeXt", dropped=("classifier.bias",)),
    "hf-convnext-v2": Form(make_convnext_v2, write.hf_convnext, "transformers ConvNeXt"),
    "hf-clip": Form(
        make_clip,
        write.hf_clip,
        "transformers CLIP",
        dropped=("text_model.", "visual_projection", "logit_scale"),
        notes=("GELU or QuickGELU",),
    ),
    "hf-siglip": Form(make_siglip, write.hf_siglip, "transformers SigLIP", dropped=("logit_bias",), notes=("tanh",)),
    "hf-siglip-without-its-pooling": Form(
        make_pooled_siglip,
        lambda state: write.hf_siglip(
            state | {k: v for k, v in make_siglip().state_dict().items() if "attn_pool" in k}
        ),
        "transformers SigLIP",
        dropped=("attn_pool.latent", "attn_pool.kv.weight"),
    ),
    "open-clip": Form(
        make_clip,
        write.clip_tower,
        "CLIP (OpenAI, open_clip)",
        container="state_dict",
        dropped=("token_embedding", "positional_embedding 7x4", "proj 48x8"),
        notes=("GELU or QuickGELU",),
    ),
    "open-clip-distributed": Form(
        make_clip,
        lambda state: write.add_prefix("module.", write.clip_tower(state)),
        "CLIP (OpenAI, open_clip)",
        container="state_dict",
    ),
    "openai-clip": Form(
        make_quick_clip, write.openai_clip, "CLIP (OpenAI, open_clip)", dropped=("input_resolution", "text_projection")
    ),
    "open-clip-timm-tower": Form(make_vit, write.timm_tower, "open_clip timm tower", dropped=("text.", "visual.head")),
    "open-clip-timm-tower-siglip": Form(make_siglip, write.timm_tower, "open_clip timm tower"),
    "open-clip-timm-tower-convnext": Form(make_convnext, write.timm_tower, "open_clip timm tower"),
    "dino": Form(make_vit, write.dino_teacher, container="teacher", dropped=("head.last_layer", "head.mlp.0")),
    "dinov2-hub": Form(make_dinov2, write.dinov2_hub, dropped=("mask_token",)),
    "dinov2-hub-registers": Form(
        make_register_dinov2, write.dinov2_hub, "DINOv2", prepare=write.with_class_row, dropped=("mask_token",)
    ),
    "dinov2-hub-giant": Form(make_gated_dinov2, write.dinov2_hub, "DINOv2"),
    "dinov2-teacher": Form(
        make_dinov2, write.dinov2_teacher, "DINOv2", container="teacher", dropped=("dino_head", "ibot_head")
    ),
    "dinov3-hub": Form(make_dinov3, write.dinov3_hub, "DINOv3", dropped=("rope_embed.periods", "mask_token")),
    "dinov3-hub-without-biases": Form(
        make_plain_dinov3, write.dinov3_hub, "DINOv3", dropped=("blocks.0.attn.qkv.bias 144",)
    ),
    "convnext": Form(make_convnext, write.meta_convnext, "ConvNeXt", container="model", dropped=("head.weight",)),
    "convnext-v2": Form(make_convnext_v2, write.meta_convnext, "ConvNeXt", container="model"),
    "mmpretrain-convnext": Form(
        make_convnext, write.mmpretrain_convnext, "ConvNeXt", container="state_dict", dropped=("head.fc",)
    ),
    "mmpretrain-swin": Form(
        make_swin, write.mmpretrain_swin, "OpenMMLab Swin", container="state_dict", dropped=("head.fc.weight",)
    ),
    "mmseg-swin": Form(
        make_swin,
        write.mmseg_swin,
        "OpenMMLab Swin",
        container="state_dict",
        dropped=("decode_head", "norm0.weight", "norm2.weight"),
    ),
    "mmpretrain-vit": Form(make_vit, write.mmpretrain_vit, "mmsegmentation", container="state_dict"),
    "mmpretrain-vit-layer-scale": Form(
        make_layer_scale_vit, write.mmpretrain_vit, "mmsegmentation", container="state_dict"
    ),
    "eva02-tiny": Form(make_eva_tiny, write.eva02, "EVA-02", container="module", dropped=("rope.freqs_cos",)),
    "eva02-tiny-apart": Form(make_eva_tiny, write.eva02_apart, "EVA-02", container="module"),
    "eva02-base": Form(make_eva_base, write.eva02, "EVA-02", container="module", dropped=("mask_token",)),
    "student-and-teacher": Form(
        make_vit,
        lambda state: (
            write.add_prefix("student_backbone.", write.hf_vit({k: v + 1 for k, v in state.items()}))
            | write.add_prefix("teacher_backbone.", write.hf_vit(state))
        ),
        "transformers ViT",
        container="state_dict",
        dropped=("student_backbone.layernorm.weight",),
    ),
    "lightly-resnet": Form(
        make_resnet, write.lightly_resnet, "lightly ResNet", container="state_dict", dropped=("projection_head",)
    ),
    "lightly-vit": Form(
        make_vit, write.lightly_vit, "lightly ViT", container="state_dict", dropped=("backbone.mask_token",)
    ),
}


def randomize(model: nn.Module, seed: int) -> nn.Module:
    """Give every tensor of a model values that its features depend on."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator) * 0.1
                centre = 1.0 if name.endswith("running_var") or ("norm" in name and name.endswith("weight")) else 0.0
                value.copy_(centre + noise)
    return model.eval()


def load_into(model: nn.Module, content: dict[str, Any], path: Path) -> tuple[LoadReport, str]:
    """Write a file, load it, and return the report and the file's format."""
    torch.save(content, path)
    file = read_weights(path)
    return load_weight_file(model, file, allow_partial=False), file.format


@torch.no_grad()
def extract(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a model's features, and what its head makes of them before the classifier."""
    size = getattr(getattr(model, "patch_embed", None), "img_size", None) or (64, 64)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(5))
    features: Tensor = model.forward_features(images)  # type: ignore[operator]
    return features, model.forward_head(features, pre_logits=True)  # type: ignore[operator]


@pytest.mark.parametrize("name", FORMS)
def test_features_are_equal(name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    source, target = randomize(form.make_model(), 1), randomize(form.make_model(), 2)
    content: dict[str, Any] = form.write(form.prepare(dict(source.state_dict())))
    report, found = load_into(target, {form.container: content} if form.container else content, tmp_path / "w.pth")
    assert found.startswith(form.format)
    assert report.is_complete and report.matched_fraction == 1
    for start in form.dropped:
        assert any(line.startswith(start) for line in report.dropped), (start, report.dropped)
    for part in form.notes:
        assert any(part in note for note in report.notes), (part, report.notes)
    torch.testing.assert_close(extract(target), extract(source), rtol=1e-5, atol=1e-5)


TORCHVISION: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], str, int]] = {
    "vit": (
        lambda: torchvision.models.VisionTransformer(64, 16, 3, 3, 48, 192, num_classes=10),
        make_vit,
        "torchvision ViT",
        64,
    ),
    "swin": (
        lambda: torchvision.models.SwinTransformer([4, 4], 24, [2, 2, 2, 2], [1, 2, 4, 8], [7, 7], num_classes=10),
        make_swin,
        "torchvision Swin",
        224,
    ),
    "convnext": (
        lambda: torchvision.models.ConvNeXt(
            [
                torchvision.models.convnext.CNBlockConfig(*sizes)
                for sizes in ((8, 16, 1), (16, 24, 1), (24, 32, 2), (32, None, 1))
            ],
            num_classes=10,
        ),
        make_convnext,
        "torchvision ConvNeXt",
        64,
    ),
    "resnet": (lambda: torchvision.models.resnet18(num_classes=10), make_resnet, "", 64),
}
"""Models of torchvision itself: the model, timm's, the layout, and the images' side in pixels."""


def forward_torchvision(model: nn.Module, images: Tensor) -> Tensor:
    """Return the features before the classifier."""
    features: list[Tensor] = []
    head = next(module for name, module in reversed(list(model.named_modules())) if isinstance(module, nn.Linear))
    head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    model(images)
    return features[0]


@torch.no_grad()
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_itself_gives_equal_features(name: str, tmp_path: Path) -> None:
    make_source, make_target, layout, side = TORCHVISION[name]
    source, target = randomize(make_source(), 1), randomize(make_target(), 2)
    report, found = load_into(target, dict(source.state_dict()), tmp_path / "w.pth")
    assert found.startswith(layout)
    assert report.is_complete and report.matched_fraction == 1
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(5))
    ours = target.forward_head(target.forward_features(images), pre_logits=True)  # type: ignore[operator]
    if name == "vit":  # torchvision pools the class token
        ours = target.forward_features(images)[:, 0]  # type: ignore[operator]
    torch.testing.assert_close(ours, forward_torchvision(source, images), rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("make_model", "layer"),
    [
        (lambda **settings: make_vit(**settings), "patch_embed.proj"),
        (lambda **settings: timm.create_model("resnet18", num_classes=10, **settings), "conv1"),
        (lambda **settings: timm.create_model("convnext_tiny", **CONVNEXT, **settings), "stem.0"),
    ],
    ids=["vit", "resnet", "convnext"],
)
def test_another_number_of_input_channels(make_model: Callable[..., nn.Module], layer: str, tmp_path: Path) -> None:
    """A gray model sees what the color model sees in three equal channels; 13 channels keep the size of outputs."""
    source, gray, many = randomize(make_model(), 1), make_model(in_chans=1).eval(), make_model(in_chans=13).eval()
    report, _ = load_into(gray, dict(source.state_dict()), tmp_path / "w.pth")
    shape = "x".join(map(str, source.get_parameter(f"{layer}.weight").shape[2:]))
    assert len(report.resized) == 1 and report.resized[0].startswith(f"{layer}.weight ")
    assert report.resized[0].endswith(f"x1x{shape} (from 3 to 1 input channels)")
    image = torch.randn(2, 1, 64, 64)
    features = gray.forward_features(image), source.forward_features(image.expand(-1, 3, -1, -1))  # type: ignore[operator]
    torch.testing.assert_close(*features, rtol=1e-4, atol=1e-4)
    load_into(many, dict(source.state_dict()), tmp_path / "w.pth")
    color, weight = source.get_parameter(f"{layer}.weight"), many.get_parameter(f"{layer}.weight")
    assert all(torch.allclose(weight[:, i], color[:, i % 3] * 3 / 13) for i in range(13))


def test_a_gray_file_does_not_fit_a_color_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing: patch_embed\.proj\.weight 48x3x16x16, the file has 48x1"):
        load_into(make_vit(), dict(make_vit(in_chans=1).state_dict()), tmp_path / "w.pth")


class Refusal(NamedTuple):
    """A form that is refused.

    Attributes:
        make_source: creates the model whose weights are written.
        make_model: creates the model that they are loaded into.
        write: gives the weights the other project's names and shapes.
        message: part of the reason.
    """

    make_source: Callable[[], nn.Module]
    make_model: Callable[[], nn.Module]
    write: write.Writer
    message: str


REFUSALS = {
    "openai-clip-without-quick-gelu": Refusal(
        make_clip, make_clip, write.openai_clip, "choose timm/vit_base_patch16_clip_quickgelu_224"
    ),
    "clip-in-a-vit-without-first-norm": Refusal(make_clip, make_vit, write.clip_tower, "unexpected: norm_pre"),
    "distilled-in-a-plain-vit": Refusal(make_distilled, make_vit, write.hf_deit, "distillation token"),
    "plain-vit-in-a-distilled": Refusal(make_vit, make_distilled, write.hf_vit, "missing: dist_token"),
    "registers-in-a-model-without": Refusal(make_register_dinov2, make_dinov2, write.hf_dinov2, "reg_token"),
    "beit-in-a-plain-vit": Refusal(make_token_beit, make_vit, write.hf_beit, "relative_position_bias_table"),
    "siglip-without-pooling-in-a-model-with-it": Refusal(
        make_pooled_siglip, make_siglip, write.timm_tower, "global_pool=avg"
    ),
    "two-encoders": Refusal(
        make_vit,
        make_vit,
        lambda state: write.add_prefix("one.", write.hf_vit(state)) | write.add_prefix("two.", write.hf_vit(state)),
        "does not fit",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    case = REFUSALS[name]
    content: dict[str, Any] = case.write(dict(randomize(case.make_source(), 1).state_dict()))
    with pytest.raises(CheckpointError) as caught:
        load_into(case.make_model(), content, tmp_path / "w.pth")
    assert case.message in str(caught.value) and "\n" not in str(caught.value)


def test_the_same_name_inside_and_outside_a_trunk_is_unexpected(tmp_path: Path) -> None:
    content: dict[str, Any] = write.hf_vit_classifier(dict(make_vit().state_dict()))
    content["layernorm.weight"] = torch.zeros(48)
    with pytest.raises(CheckpointError, match=r"\(outside vit\.\) layernorm"):
        load_into(make_vit(), content, tmp_path / "w.pth")


def test_a_missing_part_is_missing(tmp_path: Path) -> None:
    """A key layer without its query and value is not fused with anything."""
    state = write.hf_vit(dict(make_vit().state_dict()))
    del state["encoder.layer.1.attention.attention.query.weight"]
    with pytest.raises(CheckpointError, match=r"missing: blocks\.1\.attn\.qkv\.weight"):
        load_into(make_vit(), state, tmp_path / "w.pth")


OWN_NAMES = (
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "convnextv2_atto",
    "crossvit_tiny_240",
    "csatv2",
    "deit_tiny_distilled_patch16_224",
    "eva02_tiny_patch14_224",
    "inception_next_atto",
    "mobilevit_xxs",
    "mvitv2_tiny",
    "pvt_v2_b0",
    "resnet18",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "twins_svt_small",
    "vit_base_patch16_siglip_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3_qkvb",
    "vitamin_small_224",
    "xcit_nano_12_p16_224",
)
"""Models whose own names are the nearest to those of a layout; all of timm's were tried once."""


@pytest.mark.parametrize("name", OWN_NAMES)
def test_timms_own_names_are_no_layout(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert find_layout(model.state_dict()) is None


def test_another_constant_in_the_norms_is_said(tmp_path: Path) -> None:
    def list_notes(write_state: Callable[[State], Any], make_model: Callable[[], nn.Module]) -> list[str]:
        state: dict[str, Any] = write_state(dict(make_model().state_dict()))
        return [note for note in load_into(make_model(), state, tmp_path / "w.pth")[0].notes if "LayerNorms" in note]

    (note,) = list_notes(write.hf_vit, make_vit)
    assert note.startswith("transformers ViT adds 1e-12") and "the model adds 1e-06" in note
    assert list_notes(write.hf_dinov2, make_dinov2) == []
    assert list_notes(write.hf_clip, make_clip) == []


def test_the_activation_of_siglip_is_said_where_it_differs(tmp_path: Path) -> None:
    for activation, expected in (("gelu", 1), ("gelu_tanh", 0)):
        model = timm.create_model("vit_base_patch16_siglip_224", **VIT, act_layer=activation)
        report, _ = load_into(model, write.hf_siglip(dict(model.state_dict())), tmp_path / "w.pth")
        assert sum("tanh approximation" in note for note in report.notes) == expected
