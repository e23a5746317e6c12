"""Our adapter, parameter groups and schedule against plain mmseg on the same weights and batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.scheduler import LinearLR, PolyLR
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.engine.optimizers import LearningRateDecayOptimizerConstructor
from mmseg.models.backbones import VisionTransformer
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from backbones.registry import get_card
from engine.lr_schedule import build_lr_schedulers
from engine.optimizer import create_optim_wrapper
from segmentation.models.segmentor import Segmentor, build_segmentor
from segmentation.recipe import SegmentationRecipe
from tests.segmentation.make import make_recipe

STEPS = 20
CHANGES = (
    "crop=64",
    "test.stride=43",
    "drop_path=0.0",
    "iterations=40",
    "schedule.warmup=6",
    "batch_size=2",
    "optimizer.lr=1e-3",
    # of 512: the heads are mmseg's own on both sides
    "model.decode_head.channels=128",
    "model.auxiliary_head.channels=64",
)

RENAMED = (
    ("trunk.", ""),
    ("patch_embed.proj", "patch_embed.projection"),
    ("blocks.", "layers."),
    ("norm1", "ln1"),
    ("norm2", "ln2"),
    ("attn.qkv.weight", "attn.attn.in_proj_weight"),
    ("attn.qkv.bias", "attn.attn.in_proj_bias"),
    ("attn.proj", "attn.attn.out_proj"),
    ("mlp.fc1", "ffn.layers.0.0"),
    ("mlp.fc2", "ffn.layers.1"),
)


class MAELikeViT(VisionTransformer):
    """mmseg's ViT; its layer decay goes by the class's name and knows BEiT and MAE only."""


def batch(seed: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(2):
        sample = SegDataSample()
        labels = torch.randint(0, 150, (1, 8, 8), generator=draw).repeat_interleave(8, 1).repeat_interleave(8, 2)
        labels[:, :3] = 255
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    images = [torch.randint(0, 255, (3, 64, 64), generator=draw, dtype=torch.uint8) for _ in range(2)]
    return {"inputs": images, "data_samples": samples}


def plain_mmseg(ours: Segmentor, setting: SegmentationRecipe) -> EncoderDecoder:
    """mmseg's own model with mmseg's own ViT, its configuration written out, and the weights of ours."""
    head, auxiliary = (dict(setting.model[name]) for name in ("decode_head", "auxiliary_head"))
    norm = {"type": "BN", "requires_grad": True}
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = EncoderDecoder(
            backbone={
                "type": MAELikeViT, "img_size": (64, 64), "patch_size": 16, "embed_dims": 192,
                "num_layers": 12, "num_heads": 12, "mlp_ratio": 4, "out_indices": (3, 5, 7, 11),
                "qkv_bias": True, "patch_bias": True,
                "norm_cfg": {"type": "LN", "eps": 1e-6}, "act_cfg": {"type": "GELU"}, "drop_path_rate": 0.0,
            },
            neck={"type": "Feature2Pyramid", "embed_dim": 192, "rescales": [4, 2, 1, 0.5], "norm_cfg": norm},
            decode_head={**head, "in_channels": [192] * 4, "num_classes": 150, "norm_cfg": norm},
            auxiliary_head={**auxiliary, "in_channels": 192, "num_classes": 150, "norm_cfg": norm},
            data_preprocessor={
                "type": "SegDataPreProcessor", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375],
                "bgr_to_rgb": True, "pad_val": 0, "seg_pad_val": 255, "size": (64, 64),
            },
        )  # fmt: skip
    state = {}
    for name, value in ours.state_dict().items():
        if name.startswith("backbone."):
            if name.startswith("backbone.trunk.norm."):
                continue  # not used by any map; mmseg's ViT has none
            for old, new in RENAMED:
                name = name.replace(old, new)
        state[name] = value.clone()
    model.load_state_dict(state, strict=True)
    return model


def losses_of_ours(model: Segmentor, setting: SegmentationRecipe) -> list[float]:
    optimizer = create_optim_wrapper(model, setting, "cpu")
    schedulers = [_scheduler(optimizer, content) for content in build_lr_schedulers(setting, 0)]
    return _train(model, optimizer, schedulers)


def losses_of_mmseg(model: EncoderDecoder, setting: SegmentationRecipe) -> list[float]:
    """The optimizer and schedule as mmseg's configuration files write them."""
    optimizer = build_optim_wrapper(
        model,
        {
            "type": "OptimWrapper",
            "constructor": LearningRateDecayOptimizerConstructor,
            "optimizer": {"type": "AdamW", "lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.05},
            "paramwise_cfg": {
                "num_layers": 12, "decay_rate": setting.optimizer.layer_decay, "decay_type": "layer_wise_vit",
            },
        },
    )  # fmt: skip
    schedulers = [
        LinearLR(optimizer, start_factor=1e-6, begin=0, end=6, by_epoch=False),
        PolyLR(optimizer, power=1.0, eta_min=0.0, begin=6, end=40, by_epoch=False),
    ]
    return _train(model, optimizer, schedulers)


def _scheduler(optimizer: Any, content: dict[str, Any]) -> Any:
    kinds = {"LinearLR": LinearLR, "PolyLR": PolyLR}
    return kinds[content["type"]](optimizer, **{key: value for key, value in content.items() if key != "type"})


def _train(model: Any, optimizer: Any, schedulers: list[Any]) -> list[float]:
    model.train()
    losses = []
    for step in range(STEPS + 1):
        torch.manual_seed(step)  # dropout of the heads
        outcome: dict[str, Tensor] = model.train_step(batch(step % 4), optimizer)
        losses.append(outcome["loss"].item())
        for scheduler in schedulers:
            scheduler.step()
    return losses


def test_loss_at_step_0_and_after_20_steps_equals_plain_mmseg() -> None:
    setting = make_recipe("ade20k_upernet", *CHANGES, "schedule.warmup_start=1e-9")
    torch.manual_seed(0)
    ours = build_segmentor(setting, get_card("vit_tiny"), 150, "BN").double()  # so that only real differences grow
    theirs = plain_mmseg(ours, setting).double()
    mine, plain = losses_of_ours(ours, setting), losses_of_mmseg(theirs, setting)
    assert mine[0] == pytest.approx(plain[0], abs=1e-4)
    assert mine == pytest.approx(plain, abs=1e-4)
    assert plain[STEPS] < plain[0] - 0.5, "training did something"
