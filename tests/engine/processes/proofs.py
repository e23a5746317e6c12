"""What one process and several must compute alike. Started as a module, it is one process of several.

Children are started with the variables of ``srun``, so ``--launcher slurm`` is part of what is proved.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from classification.digits_task import DIGITS
from engine import training
from engine.device import get_dist_info, init_distributed, shutdown_distributed
from engine.processes.batch_norm import synchronise_batch_norm
from engine.processes.launcher import apply_launcher
from engine.training import TrainingJob, evaluate_test_split, train_model
from pretraining.task import PretrainTask
from segmentation.tasks import MINI_ADE
from tests.classification.probes.frozen_features import make_request
from tests.conftest import ROOT
from tests.wrong_numbers.small_training import SGD, NotesHook, make_job
from tracking.tasks import MINI_LASOT

STEPS = 20

# plain SGD: weights after some steps are the sum of gradients. Adam divides a gradient by its size, so the rounding of
# one that is 0 (the bias of the keys in attention) would become a full step.
ONE_RECIPE = (
    "epochs=none", f"iterations={STEPS}", "optimizer.name=SGD", "optimizer.momentum=0.9", "schedule.warmup=2",
    "loggers=[]", "workers=0",
)  # fmt: skip


def make_slurm_variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """What ``srun`` sets for one of several processes on this machine."""
    return {
        "SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_NTASKS": str(processes), "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank), "SLURM_JOB_NODELIST": "localhost", "MASTER_PORT": str(port),
    }  # fmt: skip


def start_processes(words: list[str], processes: int, cwd: Path) -> list[subprocess.Popen[str]]:
    """Start a command once per process, as ``srun`` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return [
        subprocess.Popen(
            words,
            env=alone | make_slurm_variables(rank, processes, port) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def run_processes(words: list[str], processes: int, cwd: Path) -> list[str]:
    """Run a command once per process; return what each wrote to stdout."""
    children = start_processes(words, processes, cwd)
    said = [child.communicate(timeout=300) for child in children]
    for child, (_, errors) in zip(children, said, strict=True):
        assert child.returncode == 0, "".join(each[-2000:] for _, each in said) + errors[-2000:]
    return [out for out, _ in said]


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
SHARES = {"one has one image": (6, 7), "uneven": (4, 7)}
"""Where the parts of two processes end in a batch of seven."""


def normalize_batches(name: str, end: int, synchronise: bool, rank: int = 0) -> dict[str, Tensor]:
    """Three steps of a norm on (a part of) three batches; returns outputs, gradients and statistics."""
    torch.manual_seed(3)
    module = NORMS[name]()
    weights = torch.rand(3) + 0.5
    whole = torch.randn(3, 7, 3, *SHAPES.get(name, (4, 4))) * (torch.arange(3).view(1, 1, 3, *[1] * len(SHAPES.get(name, (4, 4)))) + 1)
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
    found = {"outputs": outputs.detach(), "gradients": values.grad, **{key: value.clone() for key, value in module.named_buffers()}}
    found |= {f"gradient of {key}": value.grad.clone() for key, value in module.named_parameters() if value.grad is not None}
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
        ("classification", DIGITS, "classification.finetune", "finetune", ("optimizer.lr=0.02", "val_interval=20")),
        ("segmentation", MINI_ADE, "segmentation.run", "semantic_fpn", (
            "optimizer.lr=0.01", "model.decode_head.dropout_ratio=0", "model.decode_head.channels=16",
            "val_interval=20",
        )),
        ("tracking", MINI_LASOT, "tracking.protocols", "fast64", (
            "optimizer.lr=0.005", "batch_size=8", "norm_group=4", "pairs=64", "val_pairs=8", "val_interval=20",
        )),
        ("mae", PretrainTask("mae", "digits"), "pretraining.run", "mae", ("optimizer.lr=0.05", "batch_size=64")),
        # Without clipping, batch norm of class tokens that are nearly equal at first amplifies rounding without bound: in
        # one process too, weights changed by 1e-7 change the loss by 1e-2 after 20 steps.
        ("mocov3", PretrainTask("mocov3", "digits"), "pretraining.run", "mocov3", (
            "optimizer.lr=1e-3", "clip_grad=1", "batch_size=64", "hidden_dim=32", "out_dim=16",
        )),
    ]  # fmt: skip
    for name, task, room, protocol, overrides in cells:
        extra = ("knn_monitor.interval=0",) if room == "pretraining.run" else ()
        backbone = "vit_nano" if name == "segmentation" else "vit_pico"  # UperNet reads maps of four depths
        asked = make_request(protocol, backbone=backbone, checkpoint="random", overrides=(*ONE_RECIPE, *extra, *overrides), tier="full")
        with capture_job(room) as jobs:
            task.run(asked, task.plan(asked, task.check_data(out)), out / name)
        (job,) = jobs
        # the tests of scoring are elsewhere; here every validation would cost time
        yield name, replace(job, folder=out / name, val_dataset=None, select_best=False)


def make_small_jobs(out: Path) -> Iterator[tuple[str, TrainingJob]]:
    """Trainings of a few weights with batch norm: each epoch has three batches of 16 and one of 11."""
    for name, pieces in (("batch norm", 1), ("batch norm in pieces", 2)):
        settings: dict[str, Any] = {"recipe_epochs": 5, "recipe_batch_size": 16, "recipe_accumulate": pieces}
        settings |= {"val_dataset": None, "items": 59}
        yield name, make_job(out / name, model=SmallConvNet(), recipe_optimizer=SGD | {"lr": 0.05}, **settings)


def train_all(out: Path) -> dict[str, dict[str, Any]]:
    """All trainings of this module in this process (or its part of them)."""
    return {name: train_and_note(job) for make in (make_small_jobs, make_task_jobs) for name, job in make(out)}


def score_few(out: Path, items: int) -> list[tuple[Any, ...]]:
    """Score a test split; the rows of the first process are those of all."""
    job = make_job(out / f"score{items}", test_dataset=None, val_dataset=None, recipe_epochs=1)
    job = replace(job, test_dataset=type(job.train_dataset)(items))  # type: ignore[call-arg]
    trained = train_model(job)
    return [tuple(row) for row in evaluate_test_split(job, trained.weights_path).metric.rows]


def main() -> None:
    apply_launcher("slurm")
    init_distributed()
    rank, processes = get_dist_info()
    out = Path(sys.argv[1])
    training.make_deterministic()
    found: dict[str, Any] = {}
    if processes == 2:
        found["norms"] = {
            (name, share): normalize_batches(name, ends[0], True, rank)
            for name in NORMS
            for share, ends in SHARES.items()
        }
        found["trainings"] = train_all(out)
    found["scores"] = {items: score_few(out, items) for items in (1, 7)}
    torch.save(found, out / f"rank{rank}.pt")
    torch.distributed.barrier()
    shutdown_distributed()


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # as bench does: threads of gloo may still run
