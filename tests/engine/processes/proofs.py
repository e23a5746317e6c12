"""What one process and two must compute alike. Each of two processes calls ``find_all``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from timm.data import Mixup
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from classification.digits_task import DIGITS
from classification.model import Classifier
from engine import determinism
from engine.device import get_dist_info
from engine.processes.batch_norm import synchronise_batch_norm
from engine.training import TrainingJob, train_model
from pretraining.task import PretrainTask
from segmentation.tasks import MINI_ADE
from tests.classification.probes.frozen_features import make_request
from tests.engine.processes import scoring
from tests.wrong_numbers.small_training import SGD, NotesHook, SmallNet, make_job
from tracking.tasks import MINI_LASOT

STEPS = 20

# plain SGD: weights after some steps are the sum of gradients. Adam divides a gradient by its size, so the rounding of
# one that is 0 (the bias of the keys in attention) would become a full step.
ONE_RECIPE = (
    "epochs=none", f"iterations={STEPS}", "optimizer.name=SGD", "optimizer.momentum=0.9", "schedule.warmup=2",
    "loggers=[]", "workers=0",
)  # fmt: skip


# Batch norm: three steps on batches of seven

NORMS: dict[str, Any] = {
    "2d": lambda: nn.BatchNorm2d(3),
    "1d": lambda: nn.BatchNorm1d(3),
    "1d of sequences": lambda: nn.BatchNorm1d(3),
    "3d": lambda: nn.BatchNorm3d(3),
    "mean over steps": lambda: nn.BatchNorm2d(3, momentum=None),
    "not affine": lambda: nn.BatchNorm2d(3, affine=False),
    "no running statistics": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "with activation": lambda: BatchNormAct2d(3, act_layer=nn.GELU),
    "far from 0": lambda: nn.BatchNorm2d(3),
}
SHAPES = {"1d": (), "1d of sequences": (5,), "3d": (2, 3, 2)}
SHARES = {"one has one image": 6, "uneven": 4}
"""How many images of a batch of seven the first of two processes has."""


def normalize_batches(name: str, end: int, synchronise: bool, rank: int = 0) -> dict[str, Tensor]:
    """Three steps of a norm on (a part of) three batches; returns outputs, gradients and statistics."""
    torch.manual_seed(3)
    module = NORMS[name]()
    weights = torch.rand(3) + 0.5
    whole = torch.randn(3, 7, 3, *SHAPES.get(name, (4, 4))) * (
        torch.arange(3).view(1, 1, 3, *[1] * len(SHAPES.get(name, (4, 4)))) + 1
    )
    if name == "far from 0":
        whole += 3000  # a sum of squares minus a square of sums would leave no digit of the variance in fp32
    if module.affine:
        module.load_state_dict(module.state_dict() | {"weight": weights, "bias": weights.flip(0)})
    if synchronise:
        synchronise_batch_norm(module)
    own = slice(0, end) if rank == 0 else slice(end, 7)
    values = whole[:, own].clone().requires_grad_()
    factor = torch.rand(whole.shape)[:, own]
    outputs = torch.stack([module(batch) for batch in values])
    (outputs.sin() * factor).sum().backward()
    assert values.grad is not None
    found = {
        "outputs": outputs.detach(),
        "gradients": values.grad,
        **{key: value.clone() for key, value in module.named_buffers()},
    }
    found |= {
        f"gradient of {key}": value.grad.clone() for key, value in module.named_parameters() if value.grad is not None
    }
    module.eval()
    return found | {"evaluated": torch.stack([module(batch) for batch in values]).detach()}


# Trainings


class SmallConvNet(nn.Sequential):
    """A classifier with three kinds of batch norm."""

    num_classes = 2

    def __init__(self) -> None:
        torch.manual_seed(7)
        super().__init__(
            nn.Conv2d(3, 4, 2, padding=1), BatchNormAct2d(4), nn.Conv2d(4, 4, 2), nn.BatchNorm2d(4),
            nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6), nn.Linear(6, 2),
        )  # fmt: skip


def train_and_note(job: TrainingJob) -> dict[str, Any]:
    """Train; return the loss of every step and the last weights."""
    notes = NotesHook()
    train_model(replace(job, hooks=(*job.hooks, notes)))
    return {
        "losses": torch.tensor(notes.losses, dtype=torch.float64),
        "state": {name: value.clone() for name, value in job.model.state_dict().items()},
    }


class CapturedError(Exception):
    """Carries the training out of a task."""


@contextmanager
def capture_job(room: str) -> Iterator[list[TrainingJob]]:
    jobs: list[TrainingJob] = []

    def take(job: TrainingJob) -> None:
        jobs.append(job)
        raise CapturedError

    with mock.patch(f"{room}.train_model", take):
        try:
            yield jobs
        except CapturedError:
            return


def make_task_jobs(out: Path) -> Iterator[tuple[str, TrainingJob]]:
    """The trainings of the four tasks, as their protocols make them."""
    cells: list[tuple[str, Any, str, str, tuple[str, ...]]] = [
        ("classification", DIGITS, "classification.finetune", "finetune", (
            "optimizer.lr=0.02", "val_interval=20", "drop_path=0.3",
        )),
        ("segmentation", MINI_ADE, "segmentation.run", "semantic_fpn", (
            "optimizer.lr=0.01", "model.decode_head.dropout_ratio=0.1", "model.decode_head.channels=16",
            "val_interval=20", "crop=32", "test.stride=32",
        )),
        ("tracking", MINI_LASOT, "tracking.protocols", "fast64", (
            "optimizer.lr=0.005", "batch_size=8", "norm_group=4", "pairs=64", "val_pairs=8", "val_interval=20",
        )),
        ("mae", PretrainTask("mae", "digits"), "pretraining.run", "mae", ("optimizer.lr=0.05", "batch_size=64")),
        # Without clipping, and from a class token of 1e-6, batch norm of outputs that are nearly equal at first
        # amplifies rounding without bound: in one process too, weights changed by 1e-7 change the loss by 1e-2 after
        # 20 steps. With clipping and a larger class token they change it by 4e-7.
        ("mocov3", PretrainTask("mocov3", "digits"), "pretraining.run", "mocov3", (
            "optimizer.lr=1e-3", "clip_grad=1", "batch_size=64", "hidden_dim=32", "out_dim=16",
        )),
    ]  # fmt: skip
    for name, task, room, protocol, overrides in cells:
        extra = ("knn_monitor.interval=0",) if room == "pretraining.run" else ()
        backbone = "vit_nano" if name == "segmentation" else "vit_pico"  # UperNet reads maps of four depths
        asked = make_request(
            protocol, backbone=backbone, checkpoint="random", overrides=(*ONE_RECIPE, *extra, *overrides), tier="full"
        )
        with capture_job(room) as jobs:
            task.run(asked, task.plan(asked, task.check_data(out)), out / name)
        (job,) = jobs
        if name == "mocov3":
            with torch.no_grad():
                for branch in (job.model.backbone, job.model.momentum_encoder):
                    branch.cls_token.copy_(torch.linspace(-0.05, 0.05, branch.cls_token.numel()))
        # the tests of scoring are elsewhere; here every validation would cost time
        yield name, replace(job, folder=out / name, val_dataset=None, select_best=False)


def make_small_jobs(out: Path) -> Iterator[tuple[str, TrainingJob]]:
    """Trainings of a few weights with batch norm: each epoch has three batches of 16 and one of 11."""
    for name, pieces in (("batch norm", 1), ("batch norm in pieces", 2)):
        settings: dict[str, Any] = {"recipe_epochs": 5, "recipe_batch_size": 16, "recipe_accumulate": pieces}
        settings |= {"val_dataset": None, "items": 59}
        yield name, make_job(out / name, model=SmallConvNet(), recipe_optimizer=SGD | {"lr": 0.05}, **settings)
    # both mixup and cutmix happen within 20 steps; the incomplete batch is dropped, and epochs have three steps
    mixed = make_job(
        out / "mixup", recipe_epochs=7, recipe_batch_size=16, recipe_drop_last=True, val_dataset=None, items=59
    )
    yield "mixup", replace(mixed, model=Classifier(SmallNet(), mixup=Mixup(0.8, 1.0, num_classes=2)))


def train_all(out: Path) -> dict[str, dict[str, Any]]:
    """All trainings of this module in this process (or its part of them)."""
    return {name: train_and_note(job) for make in (make_small_jobs, make_task_jobs) for name, job in make(out)}


def find_all(out: Path) -> dict[str, Any]:
    """Everything that this process of two finds."""
    determinism.make_deterministic()
    rank = get_dist_info()[0]
    norms = {(name, share): normalize_batches(name, end, True, rank) for name in NORMS for share, end in SHARES.items()}
    return {"norms": norms, "trainings": train_all(out), "scores": scoring.find_all(out)}
