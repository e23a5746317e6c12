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

from engine.accumulate import EpochLoop, IterLoop
from engine.checkpoints import (
    CheckpointHook,
    CheckpointRunner,
    StartGuard,
    Validation,
    load_safely,
    newest_whole,
    unwrapped,
)
from engine.device import world
from engine.optim import build_optimizer
from engine.progress import ProgressHook, say
from engine.recipe import TRACKERS, Recipe
from engine.schedule import build_schedule
from engine.seeds import EndlessSampler, Items, ReseedHook, SeededItems, SeededSampler, seed_all
from foundation.errors import BenchError, UserError


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        label: for the progress display.
        folder: the run's folder; checkpoints and logs go below it.
        model: mmengine model with a timm ``backbone``; ``loss`` and ``predict`` modes.
        train, val, test: the splits' items; without ``test`` nothing is tested here.
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
    val: Items[Any]
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
    """What a training gave; ``test`` holds the test metric's values and ``metric`` itself, ``phases`` seconds."""

    test: dict[str, float]
    metric: Any
    chosen: Validation
    validations: int
    weights: Path
    phases: dict[str, float]


def train_and_test(job: Job) -> Trained:
    """Train (resuming from the job's folder), choose the epoch on val, then read test once.

    Raises:
        UserError: settings that cannot work here (batch and processes, precision, trackers).
    """
    checkpoints = job.folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    keeper = CheckpointHook(checkpoints, job.select, job.higher_is_better, job.recipe.by_epoch, job.choose)
    metric = None if job.test is None else job.metric(len(job.test))
    progress = ProgressHook(job.label, job.select, job.unit)
    # mmengine prints through stdout in places; stdout is for results
    with contextlib.redirect_stdout(sys.stderr):
        runner = _build_runner(job, metric, [*job.hooks, keeper, progress])
        resume = newest_whole(checkpoints, say)
        if resume is not None:
            runner._resume, runner._load_from = True, str(resume)
        try:
            runner.train()
        except BenchError as error:
            raise type(error)(_own_words(error)) from error
        finally:
            progress.close()
        training = keeper.seconds
        if world()[1] > 1:
            torch.distributed.barrier()
        best = load_safely(keeper.best_file())
        unwrapped(runner.model).load_state_dict(best["state_dict"], strict=True)
        began = time.monotonic()
        outcome = {} if metric is None else runner.test()
    return Trained(
        test=outcome,
        metric=metric,
        chosen=keeper.best,
        validations=len(keeper.history),
        weights=keeper.best_file(),
        phases={"train_and_validate": training, "test": time.monotonic() - began},
    )


def _build_runner(job: Job, test_metric: BaseMetric | None, hooks: list[Any]) -> CheckpointRunner:
    recipe = job.recipe
    test: dict[str, Any] = {}
    if job.test is not None:
        loader = _test_loader(job, job.test)
        test = {"test_dataloader": loader, "test_cfg": {}, "test_evaluator": Evaluator(test_metric)}
    seed_all(job.seed)
    make_deterministic()
    train = _train_loader(job)
    optimizer = build_optimizer(job.model, recipe, job.device)
    distributed = world()[1] > 1
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
    if job.device == "cpu":
        wrapper["device_ids"] = None
    length: dict[str, Any] = {"type": EpochLoop, "max_epochs": recipe.epochs}
    if not recipe.by_epoch:
        length = {"type": IterLoop, "max_iters": recipe.iterations}
    return CheckpointRunner(
        model=job.model,
        work_dir=str(job.folder / "logs"),
        train_dataloader=train,
        train_cfg={"val_interval": recipe.val_interval, "accumulate": recipe.accumulate, **length},
        optim_wrapper=optimizer,
        param_scheduler=build_schedule(recipe, len(train)),
        val_dataloader=_test_loader(job, job.val),
        val_cfg={},
        val_evaluator=Evaluator(job.metric(len(job.val))),
        **test,
        default_hooks={"checkpoint": None, "logger": {"type": "LoggerHook", "interval": 10}},
        custom_hooks=[ReseedHook(job.seed, recipe.by_epoch), StartGuard(job.model), *hooks],
        visualizer={"type": "Visualizer", "vis_backends": [{"type": TRACKERS[name]} for name in recipe.trackers]},
        randomness={"seed": job.seed},
        launcher="pytorch" if distributed else "none",
        # fork starts loader processes fast; opencv's own threads would fight with them
        env_cfg={"mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
        experiment_name=f"{job.folder.name}_{id(job)}",
        default_scope="mmengine",
        cfg={"model_wrapper_cfg": wrapper} if distributed else {},
    )


def _own_words(error: BenchError) -> str:
    """What an error said in the loader process it comes from: torch puts that process's trace before it."""
    text = str(error)
    return text.strip().splitlines()[-1].partition(": ")[2] if text.startswith("Caught ") else text


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
    if size // processes % job.recipe.accumulate:
        part = size // processes
        raise UserError(
            f"accumulate {job.recipe.accumulate} does not divide a process's batch of {part}; set one that does"
        )
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
