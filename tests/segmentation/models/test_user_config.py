"""BenchBackbone in a user's own config of mmsegmentation: the one in docs/ trains, validates and segments."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from backbones.create import create_backbone
from engine.evaluation.model_source import ModelSource
from foundation.environment import get_cache_dir
from foundation.errors import ConfigError
from segmentation.data.mini_ade import make_mini_ade
from segmentation.models.backbone import BenchBackbone
from segmentation.models.mmseg_imports import MODELS
from segmentation.tasks import MINI_ADE
from tests.conftest import ROOT

GUIDE = ROOT / "docs" / "guides" / "mmseg_config.py"


def make_small_config(folder: Path, **changes: str) -> Path:
    """The guide's config for mini_ade, a small backbone and four steps."""
    data = make_mini_ade(get_cache_dir()) / "ADEChallengeData2016"
    small = {
        '"data/ADEChallengeData2016"': repr(data.as_posix()),
        "crop = 512": "crop = 64",
        '"mae_distill_tiny"': '"vit_nano"',
        '"embed_dim": 192': '"embed_dim": 64',
        "[192, 192, 192, 192]": "[64, 64, 64, 64]",
        '"channels": 192': '"channels": 16',
        '"batch_size": 16': '"batch_size": 2',
        '"num_workers": 4': '"num_workers": 0',
        '"max_iters": 160000, "val_interval": 16000': '"max_iters": 4, "val_interval": 4',
        '"interval": 16000': '"interval": 4',
        '"begin": 1500, "end": 160000': '"begin": 2, "end": 4',
        '"begin": 0, "end": 1500': '"begin": 0, "end": 2',
        **changes,
    }
    text = GUIDE.read_text()
    for before, after in small.items():
        assert before in text, before
        text = text.replace(before, after)
    path = folder / "mmseg_config.py"
    path.write_text(f"{text}\nwork_dir = {(folder / 'work').as_posix()!r}\nlog_level = 'ERROR'\n")
    return path


@pytest.mark.filterwarnings("ignore")
def test_the_guides_config_trains_validates_and_segments(tmp_path: Path) -> None:
    from mmseg.apis import inference_model, init_model

    path = make_small_config(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(Config.fromfile(path))
        groups = runner.optim_wrapper
        runner.train()
        model = init_model(str(path), str(tmp_path / "work" / "iter_4.pth"), device="cpu")
        image = MINI_ADE.find_dataset(Path("nowhere")).splits["test"][0].image_path
        sample: Any = inference_model(model, str(image))
    assert groups is not None
    assert runner.message_hub.get_scalar("val/mIoU").current() >= 0
    assert sample.pred_sem_seg.data.shape == (1, 96, 128)
    source = ModelSource(
        config=path, checkpoint=tmp_path / "work" / "iter_4.pth", device="cpu", overrides=("max_items=2",)
    )
    opened: Any = MINI_ADE.open_evaluation(source, Path("nowhere"))
    labels = opened.segmentor.segment_file(image).labels
    assert (labels == sample.pred_sem_seg.data[0]).all()
    assert opened.backbone.name == "mmseg/BenchBackbone-UPerHead"
    # what a training would start from need not be there
    (tmp_path / "again").mkdir()
    missing = {'"img_size": crop,': '"img_size": crop, "checkpoint": "nowhere.pth",'}
    other = make_small_config(tmp_path / "again", **missing)
    MINI_ADE.open_evaluation(replace(source, config=other), Path("nowhere"))


def test_layers_have_the_learning_rates_of_bench(tmp_path: Path) -> None:
    content: Any = Config.fromfile(make_small_config(tmp_path))
    with DefaultScope.overwrite_default_scope("mmseg"), contextlib.redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(content)
        optimizer: Any = runner.build_optim_wrapper(content.optim_wrapper).optimizer
        names = {parameter: name for name, parameter in runner.model.named_parameters()}
    rates = {names[each]: group["lr"] for group in optimizer.param_groups for each in group["params"]}
    decays = {names[each]: group["weight_decay"] for group in optimizer.param_groups for each in group["params"]}
    assert rates["decode_head.conv_seg.weight"] == pytest.approx(1e-4)
    assert rates["neck.upsample_4x.0.weight"] == pytest.approx(1e-4)
    blocks = len(runner.model.backbone.trunk.blocks)
    for index in range(blocks):
        assert rates[f"backbone.trunk.blocks.{index}.mlp.fc1.weight"] == pytest.approx(1e-4 * 0.65 ** (blocks - index))
    assert rates["backbone.trunk.pos_embed"] == pytest.approx(1e-4 * 0.65 ** (blocks + 1))
    assert decays["backbone.trunk.pos_embed"] == decays["backbone.trunk.blocks.0.norm1.weight"] == 0
    assert decays["backbone.trunk.blocks.0.mlp.fc1.weight"] == 0.05
    # the frozen rest (a final norm that no map reads) is in no group
    assert set(rates) == {name for name, value in runner.model.named_parameters() if value.requires_grad}


def test_a_setting_of_mmsegs_own_constructor_is_refused(tmp_path: Path) -> None:
    path = make_small_config(
        tmp_path, **{'"paramwise_cfg": {"layer_decay": 0.65}': '"paramwise_cfg": {"decay_rate": 0.65}'}
    )
    content: Any = Config.fromfile(path)
    with contextlib.redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(content)
        with pytest.raises(ConfigError, match="takes layer_decay and backbone_scale, not decay_rate"):
            runner.build_optim_wrapper(content.optim_wrapper)


def test_loaded_weights_survive_mmsegs_initialization(tmp_path: Path) -> None:
    """mmseg's Runner initializes every part that has init_weights, which would silently drop what was loaded."""
    torch.save(
        create_backbone("vit_nano", img_size=64, checkpoint="random", num_classes=0).model.state_dict(),
        tmp_path / "weights.pth",
    )
    weights = torch.load(tmp_path / "weights.pth", weights_only=True)
    path = make_small_config(
        tmp_path, **{'"img_size": crop,': f'"img_size": crop, "checkpoint": {str(tmp_path / "weights.pth")!r},'}
    )
    content: Any = Config.fromfile(path)
    with contextlib.redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(content)
        runner._init_model_weights()
    assert all(torch.equal(value, weights[name]) for name, value in runner.model.backbone.trunk.state_dict().items())


@pytest.mark.parametrize("size", [(64, 64), (40, 50), (61, 129), (33, 32)])
@pytest.mark.parametrize("name", ["vit_nano", "swin_lite", "timm/test_convnext"])
def test_images_of_any_size_have_maps(name: str, size: tuple[int, int]) -> None:
    made = 224 if name == "swin_lite" else 64
    backbone = BenchBackbone(name, made, checkpoint="random").eval()
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = backbone(image)
    for each, stride in zip(maps, backbone.strides, strict=True):
        # a convolution without padding may round down
        for cells, side in zip(each.shape[2:], size, strict=True):
            assert cells in {-(-side // stride), max(1, side // stride)}


def test_padding_is_the_mean_color_at_the_right_and_bottom() -> None:
    backbone = BenchBackbone("vit_nano", 64, checkpoint="random").eval()
    image = torch.randn(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image, (0, 6))
    with torch.no_grad():
        for mine, theirs in zip(backbone(image), backbone(padded), strict=True):
            assert torch.equal(mine, theirs)
            assert mine.shape[2:] == (5, 7)


def test_a_size_that_the_patch_does_not_divide_is_rounded_up() -> None:
    backbone = BenchBackbone("vit_nano", 60, checkpoint="random")
    assert tuple(backbone.trunk.patch_embed.img_size) == (64, 64)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["whole", "slide"])
@pytest.mark.parametrize("size", [(40, 50), (67, 70), (101, 130)])
def test_mmseg_segments_images_of_any_size(mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    content: Any = Config.fromfile(make_small_config(tmp_path))
    described = ConfigDict(content.model)
    if mode == "whole":
        described.test_cfg = ConfigDict(mode="whole")
    with DefaultScope.overwrite_default_scope("mmseg"), torch.no_grad():
        model = MODELS.build(described).eval()
        found = model.predict(torch.randn(1, 3, *size))[0]
    assert found.pred_sem_seg.data.shape == (1, *size)
