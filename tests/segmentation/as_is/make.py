"""Configs of mmsegmentation with tiny models, and their training by plain mmseg."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from foundation.environment import get_cache_dir
from segmentation.data.mini_ade import make_mini_ade
from segmentation.models import mmseg_imports  # imports mmseg without its messages

__all__ = ["CONFIG", "mmseg_imports", "train_by_mmseg", "write_config"]

CONFIG = """
default_scope = "mmseg"
norm_cfg = dict(type="SyncBN", requires_grad=True)
data_preprocessor = dict(
    type="SegDataPreProcessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size=(64, 64),
)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=data_preprocessor,
    pretrained=None,
    backbone=dict(
        type="ResNetV1c", depth=18, base_channels=8, num_stages=4, out_indices=(0, 1, 2, 3), dilations=(1, 1, 1, 1),
        strides=(1, 2, 2, 2), norm_cfg=norm_cfg, norm_eval=False, style="pytorch",
        init_cfg=dict(type="Kaiming", layer="Conv2d"),
    ),
    decode_head=dict(
        type="UPerHead", in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3], pool_scales=(1, 2), channels=16,
        dropout_ratio=0.1, num_classes=150, norm_cfg=norm_cfg, align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type="FCNHead", in_channels=32, in_index=2, channels=8, num_convs=1, concat_input=False, num_classes=150,
        norm_cfg=norm_cfg, align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(64, 64), stride=(42, 42)),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="RandomCrop", crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(170, 110), keep_ratio=True),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="ADE20KDataset", data_root="DATA_ROOT",
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"), pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ADE20KDataset", data_root="DATA_ROOT",
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"), pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"], output_dir="WORK/predictions")
test_cfg = dict(type="TestLoop")
train_cfg = dict(type="IterBasedTrainLoop", max_iters=4, val_interval=100)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=0.01))
default_hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=4))
randomness = dict(seed=0)
work_dir = "WORK"
log_level = "ERROR"
"""


def write_config(folder: Path, changes: Mapping[str, str] | None = None, text: str = CONFIG) -> Path:
    """Write a config for mini_ade, with some of its text replaced."""
    for before, after in (changes or {}).items():
        assert before in text, before
        text = text.replace(before, after)
    data = make_mini_ade(get_cache_dir()) / "ADEChallengeData2016"
    path = folder / "my_config.py"
    path.write_text(text.replace("DATA_ROOT", data.as_posix()).replace("WORK", (folder / "work").as_posix()))
    return path


def train_by_mmseg(config: Path) -> tuple[Path, dict[str, float]]:
    """Train and test as mmseg's own tools do; return the checkpoint and the metrics of mmseg's test loop."""
    content: Any = Config.fromfile(config)
    with contextlib.redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(content)
        runner.train()
        metrics = runner.test()
    return Path(content.work_dir) / "iter_4.pth", metrics
