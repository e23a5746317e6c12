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

from engine import mlflow_backend  # noqa: F401 - registers it with mmengine
from engine.checkpoints import (
    CheckpointHook,
    CheckpointRunner,
    InitialWeightsHook,
    ValidationResult,
    find_resume_checkpoint,
    read_checkpoint,
)
from engine.device import get_dist_info, translate_oom_error
from engine.grad_accumulation import MicroBatchEpochLoop, MicroBatchIterLoop
from engine.lr_schedule import build_lr_schedulers
from engine.optimizer import create_optim_wrapper
from engine.progress import ProgressHook, log_message
from engine.recipe import LOGGER_BACKENDS, TrainingRecipe
from engine.seeding import InfiniteSeededSampler, MapDataset, ReseedHook, SeededDataset, SeededSampler, seed_all
from foundation.errors import UserError


@dataclass(frozen=True)
class TrainingJob:
    """One training.

    Attributes:
        label: for the progress display.
        folder: the run's folder; checkpoints and logs go below it.
        model: mmengine model with a timm ``backbone``; ``loss`` and ``predict`` modes.
        train_dataset, val_dataset, test_dataset: the splits' items; without ``val_dataset`` nothing is validated or
            chosen, without ``test_dataset`` the task tests by itself.
        build_metric: makes a fresh metric for a split of that many items; must give ``selection_metric`` among its
            values.
        selection_metric: the metric the epoch is chosen by, with its unit and direction.
        recipe: the recipe.
        seed: the run's seed.
        device: ``cpu`` or ``cuda``.
        collate_fn: items to a batch.
        select_best: off, the last weights are taken, whatever val says.
        hooks: of the task.
    """

    label: str
    folder: Path
    model: BaseModel
    train_dataset: MapDataset[Any]
    val_dataset: MapDataset[Any] | None
    test_dataset: MapDataset[Any] | None
    build_metric: Callable[[int], BaseMetric]
    selection_metric: str
    metric_unit: str
    higher_is_better: bool
    recipe: TrainingRecipe
    seed: int
    device: str
    collate_fn: Callable[[list[Any]], Any] = default_collate
    select_best: bool = True
    hooks: tuple[Hook, ...] = ()


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave: the validation chosen by (``None``: the last weights), how many there were, seconds."""

    selected_validation: ValidationResult | None
    num_validations: int
    weights_path: Path
    seconds: float


@dataclass(frozen=True)
class EvaluationResult:
    """The test metric's values, the metric itself, and seconds."""

    metric_values: dict[str, float]
    metric: Any
    seconds: float


def train_model(job: TrainingJob) -> TrainingResult:
    """Train, resuming from the job's folder, and choose the epoch on val (without a val split: the last).

    Raises:
        UserError: settings that cannot work here (batch and processes, precision, loggers, memory).
        DataError: an item that cannot be used.
    """
    checkpoints = job.folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    recipe, select = job.recipe, job.selection_metric if job.val_dataset is not None else None
    keeper = CheckpointHook(
        checkpoints, select, job.higher_is_better, recipe.by_epoch, recipe.val_interval, job.select_best
    )
    progress = ProgressHook(job.label, job.selection_metric, job.metric_unit)
    # mmengine prints through stdout in places; stdout is for results
    with translate_oom_error(), contextlib.redirect_stdout(sys.stderr):
        runner = _build_train_runner(job, [*job.hooks, keeper, progress])
        resume = find_resume_checkpoint(checkpoints, log_message)
        if resume is not None:
            runner._resume, runner._load_from = True, str(resume)
        try:
            runner.train()
        finally:
            progress.close()
        seconds = keeper.elapsed_seconds
        if get_dist_info()[1] > 1:
            torch.distributed.barrier()
    count = len(keeper.validations) if select else 0
    return TrainingResult(
        keeper.best_validation if keeper.select_best else None, count, keeper.get_best_path(), seconds
    )


def evaluate_test_split(job: TrainingJob, weights_path: Path) -> EvaluationResult:
    """Read the test split once with these weights."""
    assert job.test_dataset is not None, "a task without test items tests by itself"
    best = read_checkpoint(weights_path)
    metric = job.build_metric(len(job.test_dataset))
    with translate_oom_error(), contextlib.redirect_stdout(sys.stderr):
        job.model.load_state_dict(best["state_dict"], strict=True)
        runner = CheckpointRunner(
            test_dataloader=_build_eval_loader(job, job.test_dataset),
            test_cfg={},
            test_evaluator=Evaluator(metric),
            **_build_runner_kwargs(job, "test"),
        )
        began = time.monotonic()
        values = runner.test()
    return EvaluationResult(values, metric, time.monotonic() - began)


def _build_train_runner(job: TrainingJob, hooks: list[Any]) -> CheckpointRunner:
    recipe = job.recipe
    seed_all(job.seed)
    make_deterministic()
    loader = _build_train_loader(job)
    length: dict[str, Any] = {"type": MicroBatchEpochLoop, "max_epochs": recipe.epochs}
    if not recipe.by_epoch:
        length = {"type": MicroBatchIterLoop, "max_iters": recipe.iterations}
    validation: dict[str, Any] = {}
    if job.val_dataset is not None:
        metric = job.build_metric(len(job.val_dataset))
        validation = {
            "val_dataloader": _build_eval_loader(job, job.val_dataset),
            "val_cfg": {},
            "val_evaluator": Evaluator(metric),
        }
    return CheckpointRunner(
        train_dataloader=loader,
        train_cfg={"val_interval": recipe.val_interval, "accumulate": recipe.accumulate, **length},
        optim_wrapper=create_optim_wrapper(job.model, recipe, job.device),
        param_scheduler=build_lr_schedulers(recipe, len(loader)),
        custom_hooks=[ReseedHook(job.seed, recipe.by_epoch), InitialWeightsHook(job.model), *hooks],
        visualizer={"type": "Visualizer", "vis_backends": [{"type": LOGGER_BACKENDS[name]} for name in recipe.loggers]},
        **validation,
        **_build_runner_kwargs(job, "train"),
    )


def _build_runner_kwargs(job: TrainingJob, phase: str) -> dict[str, Any]:
    """What mmengine's Runner is told for training and for testing."""
    distributed = get_dist_info()[1] > 1
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
        "experiment_name": f"{job.folder.name}_{id(job)}_{phase}",
        "default_scope": "mmengine",
        "cfg": {"model_wrapper_cfg": wrapper} if distributed else {},
    }


def make_deterministic() -> None:
    """Same seed, same machine, same number. Operations without a deterministic form only warn."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def _build_train_loader(job: TrainingJob) -> DataLoader[Any]:
    size, processes = job.recipe.batch_size, get_dist_info()[1]
    if size % processes:
        raise UserError(f"batch_size {size} cannot be split evenly over {processes} processes; set one that can")
    if job.recipe.drop_last and len(job.train_dataset) < size:
        raise UserError(
            f"there are {len(job.train_dataset)} training items, fewer than one batch of {size}; set batch_size"
        )
    sampler: Sampler[Any] = InfiniteSeededSampler(job.train_dataset, job.seed)
    if job.recipe.by_epoch:
        sampler = SeededSampler(job.train_dataset, shuffle=True, seed=job.seed, round_up=True)
    return DataLoader(
        SeededDataset(job.train_dataset),
        batch_size=size // processes,
        sampler=sampler,
        num_workers=job.recipe.workers,
        collate_fn=job.collate_fn,
        pin_memory=job.device == "cuda",
        drop_last=job.recipe.drop_last and job.recipe.by_epoch,
    )


def _build_eval_loader(job: TrainingJob, dataset: MapDataset[Any]) -> DataLoader[Any]:
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style dataset by its methods
        batch_size=max(1, job.recipe.batch_size // get_dist_info()[1] // job.recipe.accumulate),
        sampler=DefaultSampler(dataset, shuffle=False, round_up=False),
        num_workers=job.recipe.workers,
        collate_fn=job.collate_fn,
        pin_memory=job.device == "cuda",
    )
