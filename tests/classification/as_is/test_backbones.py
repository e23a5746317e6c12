"""A backbone with the head of its own weights or of a file: loaded whole, refused in a sentence otherwise."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_data_config
from torch import Tensor, nn

from backbones.registry import get_card
from classification.as_is.finished_classifier import FinishedClassifier, open_classifier
from classification.as_is.predict import predict_images
from classification.as_is.preprocessing import describe_test_size, resolve_preprocessing
from engine.evaluation.model_source import ModelSource
from foundation.errors import CheckpointError, ConfigError, UserError
from tests.classification.as_is import make


def open_file(path: Path, *overrides: str, backbone: str = "vit_pico", **fields: Any) -> FinishedClassifier:
    return open_classifier(ModelSource(backbone=backbone, checkpoint=path, overrides=overrides, **fields))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def test_deit_tiny_is_evaluated_as_timm_does(deit_file: Path, tmp_path: Path) -> None:
    """Images laid out as ImageNet's val: the same pixels, and the logits of timm's own pipeline."""
    names = [make.TENCH, make.GOLDFISH, "n01484850"]
    root = make.write_class_folders(tmp_path / "imagenet" / "val", names, each=2).parent.parent
    evaluation = make.open_folder(ModelSource(backbone="deit_tiny", checkpoint=deit_file), root, "imagenet")
    model = timm.create_model("deit_tiny_patch16_224", pretrained=False).eval()
    model.load_state_dict({name: value.float() for name, value in load_file(deit_file).items()}, strict=True)
    config = resolve_data_config(model=model)
    transform = create_transform(**config, is_training=False)
    files = sorted((root / "imagenet" / "val").rglob("*.png"))
    theirs = torch.stack([transform(Image.open(file).convert("RGB")) for file in files])
    ours = torch.stack([evaluation.dataset[item]["images"] for item in range(6)])
    assert config["crop_pct"] == 0.9 and torch.equal(ours, theirs)
    with torch.no_grad():
        expected = model(theirs)
    assert torch.allclose(make.compute_logits(evaluation), expected, atol=1e-5, rtol=0)
    outcome = evaluation.run(tmp_path)
    order = evaluation.columns.columns
    assert order[:3] == (0, 1, 2) and sorted(order) == list(range(1000))
    assert [order[row[2]] for row in outcome.item_rows] == expected.argmax(1).tolist()
    assert evaluation.data.deviations[0] == "test has 6 images where the official split has 50,000"
    assert evaluation.plan.config == {"recipe": {"num_classes": 1000}}


@pytest.mark.shared_data
def test_real_flowers_get_the_class_of_imagenet(deit_file: Path, shared_data: Path, tmp_path: Path) -> None:
    """Daisies and sunflowers of Flowers-102 under the names of ImageNet's classes; ImageNet has a daisy only."""
    with tarfile.open(shared_data / "flowers102" / "flowers-102_subset192.tar") as tar:
        wanted = [member for member in tar.getmembers() if "jpg/image_058" in member.name][:40]
        tar.extractall(tmp_path, members=wanted, filter="data")
    photos = sorted(tmp_path.rglob("*.jpg"))
    assert photos, "the pack has images of oxeye daisies"
    report = predict_images(ModelSource(backbone="deit_tiny", checkpoint=deit_file), photos, tmp_path)
    assert report.data["class_names_known"] and "daisy" in report.text


def test_a_fine_tuned_checkpoint_of_mae_lite(tmp_path: Path, images: Tensor) -> None:
    """Its network averages the patch tokens, norms the mean (fc_norm) and has no norm before; timm 0.4's names."""
    model = make.make_model(10, global_pool="avg")
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model": state, "start_epoch": 100}, tmp_path / "last_epoch_ckpt.pth.tar")
    found = open_file(tmp_path / "last_epoch_ckpt.pth.tar")
    assert len(repr(found)) < 3000, "a notebook shows it"
    assert found.arguments == {"global_pool": "avg", "num_classes": 10}
    expected = forward_mae_lite(model, images)
    with torch.no_grad():
        assert (found.model(images) - expected).abs().max() < 2.4e-7 * expected.abs().max()


def forward_mae_lite(model: Any, images: Tensor) -> Tensor:
    """``forward_features`` and ``forward`` of its fine-tuned ViT, written from its code."""
    with torch.no_grad():
        patches = model.patch_embed.proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([model.cls_token.expand(len(images), -1, -1), patches], 1) + model.pos_embed
        for block in model.blocks:
            tokens = block(tokens)
        return model.head(model.fc_norm(tokens[:, 1:].mean(1)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("wrap", ["plain", "module", "ema", "net"])
def test_wrappers_of_a_state_dict(wrap: str, tmp_path: Path, images: Tensor) -> None:
    model, other = make.make_model(7), make.make_model(7, seed=1)
    state = model.state_dict()
    content: Any = {
        "plain": state,
        "module": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
        "ema": {"state_dict": other.state_dict(), "state_dict_ema": state},
        "net": {f"net.{name}": value for name, value in state.items()},
    }[wrap]
    torch.save(content, tmp_path / "x.pth")
    found = open_file(tmp_path / "x.pth")
    with torch.no_grad():
        assert torch.equal(found.model(images), model(images))
    if wrap == "ema":
        found = open_file(tmp_path / "x.pth", weights_key="state_dict")
        with torch.no_grad():
            assert torch.equal(found.model(images), other(images))


@pytest.mark.parametrize("backbone", ["swin_lite", "hiera_lite", "efficientnet_lite0"])
def test_hierarchical_models_are_loaded_whole(backbone: str, tmp_path: Path) -> None:
    model = make.make_model(5, backbone=backbone)
    found = open_file(make.save_model(tmp_path / "x.pth", model), backbone=backbone)
    state = found.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert found.head.num_classes == 5


def drop(model: nn.Module, *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: drop(model, "head.weight", "head.bias"), "has no classifier that fits the model"),
        (
            lambda model: {**model.state_dict(), "head.weight": torch.zeros(0, 32), "head.bias": torch.zeros(0)},
            "has no classifier that fits",
        ),
        (lambda model: drop(model, "head.bias"), r"has no classifier that fits the model \(head.bias 10\)"),
        (lambda model: drop(model, "norm.weight", "norm.bias"), "missing: norm.weight"),
        (lambda model: drop(model, "blocks.0.norm1.weight"), "no part of it may be random"),
        (lambda model: {**model.state_dict(), "fc_norm.weight": torch.ones(64)}, "unexpected: fc_norm.weight"),
        (lambda model: {**model.state_dict(), "strange.weight": torch.ones(3)}, "unexpected: strange.weight"),
        (lambda model: {**model.state_dict(), "head.weight": torch.full((10, 64), torch.nan)}, "NaN or infinity"),
    ],
)
def test_what_is_not_a_whole_classifier_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    torch.save(change(make.make_model(10)), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        open_file(tmp_path / "x.pth")
    assert "--allow-partial" not in str(caught.value)


def test_a_file_whose_norm_of_the_mean_is_missing(tmp_path: Path) -> None:
    """The card says that the mean is normed, and the file has no norm: a trunk would start one anew."""
    model = make.make_model(10, backbone="deit_tiny_12h")
    torch.save(drop(model, "fc_norm.weight", "fc_norm.bias"), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"missing: fc_norm.weight 192, fc_norm.bias 192"):
        open_file(tmp_path / "x.pth", backbone="deit_tiny_12h")


def test_bad_requests(tmp_path: Path) -> None:
    file = make.save_model(tmp_path / "x.pth", make.make_model(10))
    with pytest.raises(
        UserError, match="vit_pico has no weights, and a network of random numbers is no finished model"
    ):
        open_classifier(ModelSource(backbone="vit_pico"))
    with pytest.raises(UserError, match="has 10 classes, not 12"):
        open_classifier(ModelSource(backbone="vit_pico", checkpoint=file), num_classes=12)
    with pytest.raises(CheckpointError, match=r"is not in the folder|no checkpoint at"):
        open_file(tmp_path / "nowhere.pth")
    with pytest.raises(UserError, match=r"head has 10 classes and flowers has 102 \(flower 1, "):
        from tests.classification.data.make import write_flowers

        write_flowers(tmp_path)
        make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file), tmp_path, "flowers")
    evaluation = make.open_folder(
        ModelSource(backbone="vit_pico", checkpoint=file, runtime="openvino"),
        make.write_class_folders(tmp_path / "ten", [f"c{n}" for n in range(10)], each=1),
    )
    assert evaluation.backbone.arguments.items() >= {"runtime": "openvino", "precision": "f32"}.items()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crop=1", "no setting 'crop'; did you mean"),
        ("crop_pct", "takes key=value"),
        ("crop_pct=2", "crop_pct"),
        ("crop_pct=0.001", "crop_pct"),  # an image of 224,000 pixels a side
        ("interpolation=random", "interpolation"),
        ("mean=[0.5, 0.5, 0.5]", "set both, or neither"),
        ("tta_flip=maybe", "tta_flip"),
    ],
)
def test_bad_settings(override: str, message: str, tmp_path: Path) -> None:
    file = make.save_model(tmp_path / "x.pth", make.make_model(10))
    with pytest.raises(ConfigError, match=message):
        open_file(file, override)


def test_settings_change_the_pixels_as_timm_has_them(tmp_path: Path) -> None:
    file = make.save_model(tmp_path / "x.pth", make.make_model(3))
    root = make.write_class_folders(tmp_path / "images", ["a", "b", "c"], each=1)
    settings = ("img_size=48", "crop_pct=0.8", "interpolation=bilinear", "crop_mode=squash", "mean=0.4", "std=0.3")
    source = ModelSource(backbone="vit_pico", checkpoint=file, overrides=(*settings, "tta_flip=true"))
    evaluation = make.open_folder(source, root)
    transform = create_transform(
        (3, 48, 48), crop_pct=0.8, interpolation="bilinear", crop_mode="squash", mean=(0.4,) * 3, std=(0.3,) * 3
    )
    theirs = torch.stack([transform(Image.open(file).convert("RGB")) for file in sorted(root.rglob("*.png"))])
    assert torch.equal(torch.stack([evaluation.dataset[item]["images"] for item in range(3)]), theirs)
    assert evaluation.backbone.arguments.items() >= {
        "img_size": 48, "crop_pct": 0.8, "interpolation": "bilinear", "crop_mode": "squash", "tta_flip": True,
    }.items()  # fmt: skip
    model = evaluation.classifier.model
    with torch.no_grad():
        expected = ((model(theirs) + model(theirs.flip(-1))) / 2).softmax(1)
    outcome = evaluation.run(tmp_path)
    assert [row[3] for row in outcome.item_rows] == pytest.approx(expected.max(1).values.tolist(), abs=1e-6)
    cost = evaluation.measure_cost()
    alone = make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file, overrides=settings), root)
    once = alone.measure_cost()
    assert cost is not None and once is not None and cost.macs == 2 * once.macs and once.img_size == [48, 48]
    assert once.parameters == sum(parameter.numel() for parameter in model.parameters())
    plain = make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file), root)
    assert plain.plan.config == evaluation.plan.config, "how a model is applied is not a board of its own"


def test_the_config_of_timm_says_the_preprocessing() -> None:
    card = get_card("timm/convnext_tiny.fb_in1k")
    config = timm.get_pretrained_cfg("convnext_tiny.fb_in1k").to_dict()
    found = resolve_preprocessing(card, config)
    assert (found.img_size, found.crop_pct, found.interpolation) == ((224, 224), 0.875, "bicubic")
    (note,) = describe_test_size(card, config, found)
    assert "tested at 224 x 224 px" in note and "--set img_size=288 --set crop_pct=1" in note


def test_a_model_of_timm_is_evaluated_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights lie in $BENCH_WEIGHTS; the head is theirs, and the classes are those of ImageNet."""
    name = "test_vit.r160_in1k"
    model = timm.create_model(name, pretrained=False).eval()
    save = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(save, tmp_path / f"{name}.pth")
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    found = open_classifier(ModelSource(backbone=f"timm/{name}"))
    config = resolve_data_config(model=model)
    assert found.preprocessing.img_size == config["input_size"][1:] == (160, 160)
    assert found.preprocessing.crop_pct == config["crop_pct"] and found.head.subset == "imagenet-1k"
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        assert torch.equal(found.model(images), model(images))
