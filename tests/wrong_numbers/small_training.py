"""Trainings of a few weights on a few random images, and a tracker on made-up pairs: fast enough to repeat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn

from classification.metrics import PerItemAccuracy
from classification.model import Classifier
from engine.training import TrainingJob
from tests.engine.make import make_recipe
from tests.tracking.make import make_tracker_model
from tracking.models.group_batch_norm import GroupBatchNorm2d, GroupStatisticsHook
from tracking.models.tracker_model import TrackerModel

SGD = {"name": "SGD", "lr": 0.1, "momentum": 0.0, "nesterov": False}


class FewImages:
    """Random images of 2 x 2 pixels of two classes; each draws noise, as an augmentation does."""

    def __init__(self, count: int = 24) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(index))
        return {"images": image + 0.1 * torch.randn(3, 2, 2), "labels": index % 2, "item": index}


class SmallNet(nn.Sequential):
    """A linear classifier, with or without a batch norm."""

    num_classes = 2

    def __init__(self, batch_norm: bool = False) -> None:
        torch.manual_seed(7)
        super().__init__(nn.Flatten(), *([nn.BatchNorm1d(12)] if batch_norm else []), nn.Linear(12, 2))


def make_job(folder: Path, *, seed: int = 0, model: Any = None, items: int = 24, **changes: Any) -> TrainingJob:
    """Three steps an epoch; ``changes`` are fields of the job, and ``recipe_*`` those of its recipe."""
    settings = {name.removeprefix("recipe_"): changes.pop(name) for name in list(changes) if name.startswith("recipe_")}
    recipe = make_recipe(**{"epochs": 4, "optimizer": SGD, "schedule": {"name": "cosine"}, "loggers": [], **settings})
    content: dict[str, Any] = {
        "label": "test",
        "folder": folder,
        "model": Classifier(model or SmallNet()),
        "train_dataset": FewImages(items),
        "val_dataset": FewImages(6),
        "test_dataset": FewImages(6),
        "build_metric": PerItemAccuracy,
        "selection_metric": "accuracy/top1",
        "metric_unit": "%",
        "higher_is_better": True,
        "recipe": recipe,
        "seed": seed,
        "device": "cpu",
        "select_best": False,
    }
    return TrainingJob(**(content | changes))


class StopAfter(Hook):
    """Interrupts a training after an epoch has been validated and saved, as Ctrl-C does."""

    priority = "LOWEST"

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        if runner.epoch == self.epoch:
            raise KeyboardInterrupt


class NotesHook(Hook):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_train_iter(self, runner: Any, *args: Any, outputs: Any = None, **kwargs: Any) -> None:
        self.losses.append(outputs["loss"].item())


class FewPairs:
    """Pairs for a tracker: noise, and boxes of which some have their center outside of the crop."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        noise = torch.Generator().manual_seed(index)
        template, search = (torch.randint(0, 256, (3, side, side), generator=noise) for side in (32, 64))
        place = 1.1 * torch.rand(2, generator=noise)
        box = torch.cat([place - 0.1, torch.full((2,), 0.2)])
        return {"template": template.byte(), "search": search.byte(), "box": box, "item": index, "skipped": 0}


def train_small_tracker(folder: Path, pieces: int = 1, processes: int = 1, pairs: int = 16) -> dict[str, Any]:
    """One step of plain SGD on a batch of four groups of four pairs; returns losses, weights and statistics."""
    from engine.training import train_model

    model = make_tracker_model("vit_pico", 32, 64, head_channels=16, norm_group=4)
    notes = NotesHook()
    job = make_job(
        folder / f"{pieces}-{processes}",
        recipe_epochs=1,
        recipe_batch_size=16,
        recipe_accumulate=pieces,
        recipe_optimizer=SGD | {"lr": 1e-3},
        train_dataset=FewPairs(pairs),
        val_dataset=None,
        test_dataset=None,
        norm_group=4,
        hooks=(notes, GroupStatisticsHook(model)),
    )
    train_model(replace_model(job, model))
    return {"losses": notes.losses, "state": {name: value.clone() for name, value in model.state_dict().items()}}


def replace_model(job: TrainingJob, model: Any) -> TrainingJob:
    from dataclasses import replace

    return replace(job, model=model)


def list_group_norms(model: TrackerModel) -> Iterator[GroupBatchNorm2d]:
    return (module for module in model.modules() if isinstance(module, GroupBatchNorm2d))


if __name__ == "__main__":  # under torchrun: the tracker's step, and a training with batch norm, in two processes
    import sys

    from engine.device import init_distributed, shutdown_distributed
    from engine.training import train_model

    init_distributed()
    rank, out = torch.distributed.get_rank(), Path(sys.argv[1])
    found = train_small_tracker(out, pieces=2, processes=2)
    job = make_job(out / "norm", model=SmallNet(batch_norm=True), recipe_epochs=1)
    train_model(job)
    found["buffers"] = [buffer.clone() for buffer in job.model.buffers()]
    torch.save(found, out / f"rank{rank}.pt")
    torch.distributed.barrier()
    shutdown_distributed()
