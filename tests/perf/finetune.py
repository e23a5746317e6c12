"""Fine-tuning of photographs on the engine against timm's own training loop, written with timm's parts."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from tests.perf.line import SpeedRatio

IMAGES, BATCH, SIZE, MODEL = 192, 16, 224, "deit_tiny"
BASE_LR, LAYER_DECAY = 0.01, 0.75


def run_suite() -> list[SpeedRatio]:
    """The steps of an epoch, decoding and augmentation included; same model, batch, loader settings, rounds in turn."""
    with tempfile.TemporaryDirectory() as folder:
        data = _write_photos(Path(folder) / "data")
        pairs = [
            (_time_bench(data, Path(folder) / f"run{index}"), _time_timm(Path(folder) / "data")) for index in range(3)
        ]
    ours, other = (statistics.median(times) / IMAGES * 1000 for times in zip(*pairs, strict=True))
    return [SpeedRatio(f"fine-tuning {MODEL} at {SIZE} px, engine / timm's loop", ours, other, "ms/image")]


class EpochTimerHook(Hook):
    """From the first batch that is asked for to the last step; timm's loop here writes no checkpoint either."""

    def before_train_epoch(self, runner: Any) -> None:
        """Start."""
        self.began = time.perf_counter()

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Stop, so far."""
        self.seconds = time.perf_counter() - self.began


def _write_photos(root: Path) -> Any:
    """JPEGs as large as ImageNet's, in class folders."""
    from classification.data.readers.folders import read_imagefolder
    from tests.classification.data.make import write_class_folders

    write_class_folders(root, ("train", "test"), ("a", "b"), each=IMAGES // 2, size=(500, 375))
    return read_imagefolder(root).splits["train"]


def _time_bench(data: Any, out: Path) -> float:
    from backbones.create import create_backbone
    from classification.data.dataset_splits import ImageSplit
    from classification.data.image_dataset import ImageDataset
    from classification.metrics import PerItemAccuracy
    from classification.model import Classifier
    from classification.recipe import ImageRecipe
    from engine.training import TrainingJob, train_model

    recipe = ImageRecipe.model_validate(
        {
            "epochs": 1,
            "batch_size": BATCH,
            "optimizer": {"name": "SGD", "lr": BASE_LR, "layer_decay": LAYER_DECAY},
            "schedule": {"name": "cosine"},
            "clip_grad": 1.0,
            "img_size": SIZE,
            "loggers": [],
        }
    )
    created = create_backbone(MODEL, checkpoint="random", num_classes=2, global_pool="avg")
    split = ImageSplit(data.images, range(len(data.labels)), data.labels)
    items = ImageDataset(split, recipe, (0.5,) * 3, (0.5,) * 3, augment=True)
    job = TrainingJob(
        label="perf",
        folder=out,
        model=Classifier.from_recipe(created.model, recipe),
        train_dataset=items,
        val_dataset=None,
        test_dataset=items,
        build_metric=PerItemAccuracy,
        selection_metric="accuracy/top1",
        metric_unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=0,
        device="cpu",
        hooks=(clock := EpochTimerHook(),),
    )
    train_model(job)
    return clock.seconds


def _time_timm(root: Path) -> float:
    import torch
    from timm.data import create_dataset, create_loader
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import AverageMeter, dispatch_clip_grad

    from backbones.create import create_backbone

    model = create_backbone(MODEL, checkpoint="random", num_classes=2, global_pool="avg").model.train()
    dataset = create_dataset("", root=str(root), split="train")
    loader = create_loader(
        dataset,
        (3, SIZE, SIZE),
        BATCH,
        is_training=True,
        use_prefetcher=False,
        no_aug=False,
        scale=(0.08, 1.0),
        hflip=0.5,
        color_jitter=0.0,
        interpolation="bicubic",
        num_workers=0,
        persistent_workers=False,
    )
    optimizer = create_optimizer_v2(model, "sgd", BASE_LR, weight_decay=0.0, momentum=0.9, layer_decay=LAYER_DECAY)
    scheduler, _ = create_scheduler_v2(optimizer, "cosine", 1, updates_per_epoch=len(loader), step_on_epochs=False)
    loss_function, losses = torch.nn.CrossEntropyLoss(), AverageMeter()
    began = time.perf_counter()
    for step, (images, labels) in enumerate(loader):
        optimizer.zero_grad()
        loss = loss_function(model(images), labels)
        loss.backward()
        dispatch_clip_grad(model.parameters(), 1.0)
        optimizer.step()
        losses.update(loss.item(), len(images))
        scheduler.step_update(step)
    return time.perf_counter() - began
