"""Train on one split, choose on the second, read the third once: a thin layer on mmengine's Runner."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch.utils.data import DataLoader, Sampler, default_collate

from engine.checkpoints import (
    CheckpointHook,
    CheckpointRunner,
    StartGuard,
    Validation,
    load_safely,
    newest_whole,
)
from engine.device import world
from engine.grad_accumulation import EpochLoop, IterLoop
from engine.lr_schedule import build_schedule
from engine.oom_message import in_a_sentence
from engine.optimizer import build_optimizer
from engine.progress import ProgressHook, say
from engine.recipe import TRACKERS, Recipe
from engine.seeding import EndlessSampler, Items, ReseedHook, SeededItems, SeededSampler, seed_all
from foundation.errors import UserError


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        label: for the progress display.
        folder: the run's folder; checkpoints and logs go below it.
        model: mmengine model with a timm ``backbone``; ``loss`` and ``predict`` modes.
        train, val, test: the splits' items; without ``val`` nothing is validated or chosen, without ``test`` the task
            tests by itself.
        metric: makes a fresh metric for a split of that many items; must give ``select`` among its values.
        select: the metric the epoch is chosen by, with its unit and direction.
        recipe: the recipe.
        seed: the run's seed.
        device: ``cpu`` or ``cuda``.
        collate: items to a batch.
        choose: off, the last weights are taken, whatever val says.
        hooks: of the task.
    """

    label: str
    folder: Path
    model: BaseModel
    train: Items[Any]
    val: Items[Any] | None
    test: Items[Any] | None
    metric: Callable[[int], BaseMetric]
    select: str
    unit: str
    higher_is_better: bool
    recipe: Recipe
    seed: int
    device: str
    collate: Callable[[list[Any]], Any] = default_collate
    choose: bool = True
    hooks: tuple[Hook, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What a training gave: the validation chosen by (``None``: the last weights), how many there were, seconds."""

    chosen: Validation | None
    validations: int
    weights: Path
    seconds: float


@dataclass(frozen=True)
class Tested:
    """The test metric's values, the metric itself, and seconds."""

    values: dict[str, float]
    metric: Any
    seconds: float


def train(job: Job) -> Trained:
    """Train, resuming from the job's folder, and choose the epoch on val (without a val split: the last).

    Raises:
        UserError: settings that cannot work here (batch and processes, precision, trackers, memory).
        DataError: an item that cannot be used.
    """
    checkpoints = job.folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    recipe, select = job.recipe, job.select if job.val is not None else None
    keeper = CheckpointHook(checkpoints, select, job.higher_is_better, recipe.by_epoch, recipe.val_interval, job.choose)
    progress = ProgressHook(job.label, job.select, job.unit)
    # mmengine prints through stdout in places; stdout is for results
    with in_a_sentence(), contextlib.redirect_stdout(sys.stderr):
        runner = _build_trainer(job, [*job.hooks, keeper, progress])
        resume = newest_whole(checkpoints, say)
        if resume is not None:
            runner._resume, runner._load_from = True, str(resume)
        try:
            runner.train()
        finally:
            progress.close()
        seconds = keeper.seconds
        if world()[1] > 1:
            torch.distributed.barrier()
    count = len(keeper.history) if select else 0
    return Trained(keeper.best if keeper.choose else None, count, keeper.best_file(), seconds)


def test(job: Job, weights: Path) -> Tested:
    """Read the test split once with these weights."""
    assert job.test is not None, "a task without test items tests by itself"
    best = load_safely(weights)
    metric = job.metric(len(job.test))
    with in_a_sentence(), contextlib.redirect_stdout(sys.stderr):
        job.model.load_state_dict(best["state_dict"], strict=True)
        runner = CheckpointRunner(
            test_dataloader=_test_loader(job, job.test),
            test_cfg={},
            test_evaluator=Evaluator(metric),
            **_common(job, "test"),
        )
        began = time.monotonic()
        values = runner.test()
    return Tested(values, metric, time.monotonic() - began)


def _build_trainer(job: Job, hooks: list[Any]) -> CheckpointRunner:
    recipe = job.recipe
    seed_all(job.seed)
    make_deterministic()
    loader = _train_loader(job)
    length: dict[str, Any] = {"type": EpochLoop, "max_epochs": recipe.epochs}
    if not recipe.by_epoch:
        length = {"type": IterLoop, "max_iters": recipe.iterations}
    validation: dict[str, Any] = {}
    if job.val is not None:
        metric = job.metric(len(job.val))
        validation = {"val_dataloader": _test_loader(job, job.val), "val_cfg": {}, "val_evaluator": Evaluator(metric)}
    return CheckpointRunner(
        train_dataloader=loader,
        train_cfg={"val_interval": recipe.val_interval, "accumulate": recipe.accumulate, **length},
        optim_wrapper=build_optimizer(job.model, recipe, job.device),
        param_scheduler=build_schedule(recipe, len(loader)),
        custom_hooks=[ReseedHook(job.seed, recipe.by_epoch), StartGuard(job.model), *hooks],
        visualizer={"type": "Visualizer", "vis_backends": [{"type": TRACKERS[name]} for name in recipe.trackers]},
        **validation,
        **_common(job, "train"),
    )


def _common(job: Job, part: str) -> dict[str, Any]:
    """What mmengine's Runner is told for training and for testing."""
    distributed = world()[1] > 1
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
    if job.device == "cpu":
        wrapper["device_ids"] = None
    return {
        "model": job.model,
        "work_dir": str(job.folder / "logs"),
        "default_hooks": {"checkpoint": None, "logger": {"type": "LoggerHook", "interval": 10}},
        "randomness": {"seed": job.seed},
        "launcher": "pytorch" if distributed else "none",
        # fork starts loader processes fast; opencv's own threads would fight with them
        "env_cfg": {"mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
        "experiment_name": f"{job.folder.name}_{id(job)}_{part}",
        "default_scope": "mmengine",
        "cfg": {"model_wrapper_cfg": wrapper} if distributed else {},
    }


def make_deterministic() -> None:
    """Same seed, same machine, same number. Operations without a deterministic form only warn."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def _train_loader(job: Job) -> DataLoader[Any]:
    size, processes = job.recipe.batch_size, world()[1]
    if size % processes:
        raise UserError(f"batch_size {size} cannot be split evenly over {processes} processes; set one that can")
    if job.recipe.drop_last and len(job.train) < size:
        raise UserError(f"there are {len(job.train)} training items, fewer than one batch of {size}; set batch_size")
    sampler: Sampler[Any] = EndlessSampler(job.train, job.seed)
    if job.recipe.by_epoch:
        sampler = SeededSampler(job.train, shuffle=True, seed=job.seed, round_up=True)
    return DataLoader(
        SeededItems(job.train),
        batch_size=size // processes,
        sampler=sampler,
        num_workers=job.recipe.workers,
        collate_fn=job.collate,
        pin_memory=job.device == "cuda",
        drop_last=job.recipe.drop_last and job.recipe.by_epoch,
    )


def _test_loader(job: Job, items: Items[Any]) -> DataLoader[Any]:
    return DataLoader(
        items,  # type: ignore[arg-type]  # a map-style dataset by its methods
        batch_size=max(1, job.recipe.batch_size // world()[1] // job.recipe.accumulate),
        sampler=DefaultSampler(items, shuffle=False, round_up=False),
        num_workers=job.recipe.workers,
        collate_fn=job.collate,
        pin_memory=job.device == "cuda",
    )
