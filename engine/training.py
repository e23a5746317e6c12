"""Train on one split, choose the epoch on a second and test once on a third: a thin layer on mmengine's Runner."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
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

from engine.calibration.training_timer import TrainingMeasured, make_training_timers, time_test_batches
from engine.checkpoints import (
    MAX_KEPT_CHECKPOINTS,
    CheckpointHook,
    CheckpointRunner,
    InitialWeightsHook,
    ValidationResult,
    find_resume_checkpoint,
    read_checkpoint,
)
from engine.determinism import make_deterministic
from engine.device import (
    decide_on_rank0,
    get_dist_info,
    keep_mmengine_off_mps,
    require_even_batch,
    require_training_device,
    translate_oom_error,
)
from engine.grad_accumulation import MicroBatchEpochLoop, MicroBatchIterLoop
from engine.lr_schedule import (
    build_lr_schedulers,
    count_steps_per_epoch,
    drops_last_batch,
    require_complete_batch,
)
from engine.optimizer import create_optim_wrapper
from engine.processes.batch_norm import synchronise_batch_norm
from engine.processes.library_programs import start_no_programs
from engine.processes.lost_batches import report_lost_batches
from engine.processes.random_draws import share_random_draws
from engine.progress_bar import log_message
from engine.recipe import LOGGER_BACKENDS, TrainingRecipe
from engine.seeding import InfiniteSeededSampler, MapDataset, ReseedHook, SeededDataset, SeededSampler, seed_all
from engine.training_checks.checkpoint_digests import CheckpointOwner
from engine.training_checks.divergence import DivergenceHook
from engine.training_checks.log_faults import hush_logger_threads
from engine.training_checks.shared_buffers import SharedBuffersHook
from engine.training_checks.training_space import require_checkpoint_space
from engine.training_reports import mlflow_backend  # noqa: F401 - registers it with mmengine
from engine.training_reports.progress_hook import ProgressHook

_HARMLESS_WARNINGS = (
    "Setting (OMP|MKL)_NUM_THREADS",  # by mmengine, after torch has read them
    "`broadcast_buffers` is deprecated",  # an argument of mmengine's
    "Grad strides do not match bucket view strides",  # copies a gradient of a few numbers
)
"""What libraries say in each of several processes, and nobody can act on."""


@dataclass(frozen=True)
class TrainingJob:
    """One training.

    Attributes:
        label: text for the progress display.
        folder: the run's folder; checkpoints and logs are written below it.
        model: mmengine model with a timm ``backbone`` and the modes ``loss`` and ``predict``.
        train_dataset, val_dataset, test_dataset: the items of the splits. Without ``val_dataset`` nothing is validated
            or chosen; without ``test_dataset`` the task runs its own test.
        build_metric: creates a new metric for a split of the given number of items; its values must contain
            ``selection_metric``.
        selection_metric: key of the metric that chooses the epoch.
        metric_unit: unit of this metric.
        higher_is_better: whether a larger value of this metric is better.
        recipe: the training recipe.
        seed: the run's seed.
        device: ``cpu`` or ``cuda``.
        collate_fn: makes a batch from a list of items.
        select_best: choose the best validated weights; if ``False``, take the last ones.
        hooks: additional hooks of the task.
        run_id: the run's id, followed by the folder of the training if the run has several. It is written into the
            checkpoints and required of those that the training resumes from; empty: not checked.
        norm_group: for a model that normalizes groups of at most this many items together: pieces of a batch then hold
            whole groups (``engine.grad_accumulation``); ``None`` for any other model.
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
    run_id: str = ""
    norm_group: int | None = None


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        selected_validation: the validation that chose the weights; ``None`` if the last weights are taken.
        num_validations: how many validations were made.
        weights_path: file of the chosen weights.
        seconds: duration of training and validation, over all attempts.
    """

    selected_validation: ValidationResult | None
    num_validations: int
    weights_path: Path
    seconds: float


@dataclass(frozen=True)
class EvaluationResult:
    """The result of a test.

    Attributes:
        metric_values: values by metric key.
        metric: the metric object, which holds the per-item results.
        seconds: duration of the test.
    """

    metric_values: dict[str, float]
    metric: Any
    seconds: float


def train_model(job: TrainingJob) -> TrainingResult:
    """Train, resuming from the job's folder, and choose the epoch on val (without a val split: take the last).

    Args:
        job: the training.

    Raises:
        UserError: settings that cannot work here (batch and processes, precision, loggers, memory), or checkpoints
            that cannot be checked.
        DataError: an item that cannot be used.
        TrainingDivergedError: a loss or a weight is not finite; nothing is saved after that step.
    """
    # before any folder of checkpoints is made
    require_training_device(job.device)
    checkpoints = job.folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    recipe, select = job.recipe, job.selection_metric if job.val_dataset is not None else None
    keeper = CheckpointHook(
        checkpoints, select, job.higher_is_better, recipe.by_epoch, recipe.val_interval, job.select_best
    )
    progress = ProgressHook(job.label, job.selection_metric, job.metric_unit)
    # mmengine sometimes prints to stdout, which is reserved for results
    with translate_oom_error(), contextlib.redirect_stdout(sys.stderr), start_no_programs(), hush_logger_threads():
        timers = make_training_timers(keeper, recipe.length, recipe.val_interval)
        runner = _build_train_runner(job, [*job.hooks, keeper, progress, *timers])
        runner.checkpoint_owner = owner = CheckpointOwner(job.run_id, job.seed)
        # one process decides, because it also renames what cannot be used
        resume = decide_on_rank0(lambda: find_resume_checkpoint(checkpoints, log_message, owner))
        if get_dist_info()[0] == 0:
            require_checkpoint_space(checkpoints, job.model, recipe, MAX_KEPT_CHECKPOINTS)
        if resume is not None:  # the runner loads model, optimizer and schedulers before its first step
            runner._resume, runner._load_from = True, str(resume)
        try:
            with contextlib.suppress(TrainingMeasured):  # raised only in a calibration
                runner.train()
        finally:
            progress.close()
            runner.close_log()
        seconds = keeper.elapsed_seconds
        if get_dist_info()[1] > 1:
            torch.distributed.barrier()  # rank 0 may still be writing the weights that all processes read next
    count = len(keeper.validations) if select else 0
    return TrainingResult(
        keeper.best_validation if keeper.select_best else None, count, keeper.get_best_path(), seconds
    )


def evaluate_test_split(job: TrainingJob, weights_path: Path) -> EvaluationResult:
    """Evaluate the test split once with the given weights.

    Args:
        job: the training whose model and test split are used.
        weights_path: file of the weights, as ``train_model`` returns it.
    """
    assert job.test_dataset is not None, "a task without test items runs its own test"
    best = read_checkpoint(weights_path)
    metric = job.build_metric(len(job.test_dataset))
    with translate_oom_error(), contextlib.redirect_stdout(sys.stderr), start_no_programs():
        job.model.load_state_dict(best["state_dict"], strict=True)
        runner = CheckpointRunner(
            test_dataloader=_build_eval_loader(job, job.test_dataset),
            test_cfg={},  # fp32, whatever the precision of the training
            test_evaluator=Evaluator(metric),
            **_build_runner_kwargs(job, "test"),
        )
        try:
            time_test_batches(runner, job.folder)  # ends here in a calibration, and does nothing in a real run
            began = time.monotonic()
            values = runner.test()
        finally:
            runner.close_log()
    return EvaluationResult(values, metric, time.monotonic() - began)


def _build_train_runner(job: TrainingJob, hooks: list[Any]) -> CheckpointRunner:
    recipe = job.recipe
    seed_all(job.seed)
    make_deterministic()
    if get_dist_info()[1] > 1:
        synchronise_batch_norm(job.model)
        share_random_draws(job.model)
    loader = _build_train_loader(job)
    steps = count_steps_per_epoch(recipe, len(job.train_dataset))
    # a plan counts the steps without a loader, so the two must agree (an endless stream of items has no length)
    assert steps == len(loader) or not recipe.by_epoch, "the loader has other steps than the plan"
    # the loops of engine.grad_accumulation, so that one iteration is one optimizer step
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
        train_cfg={
            "val_interval": recipe.val_interval,
            "accumulate": recipe.accumulate,
            "norm_group": job.norm_group,
            **length,
        },
        optim_wrapper=create_optim_wrapper(job.model, recipe, job.device),
        param_scheduler=build_lr_schedulers(recipe, steps),
        custom_hooks=[
            ReseedHook(job.seed, recipe.by_epoch),
            InitialWeightsHook(job.model),
            DivergenceHook(recipe),
            SharedBuffersHook(),
            *hooks,
        ],
        visualizer={"type": "Visualizer", "vis_backends": [{"type": LOGGER_BACKENDS[name]} for name in recipe.loggers]},
        **validation,
        **_build_runner_kwargs(job, "train"),
    )


def _build_runner_kwargs(job: TrainingJob, phase: str) -> dict[str, Any]:
    """Return the arguments of mmengine's Runner that training and testing have in common."""
    keep_mmengine_off_mps()
    distributed = get_dist_info()[1] > 1
    if distributed:
        for message in _HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message)
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
    if job.device == "cpu":  # DistributedDataParallel on a CPU accepts no device list
        wrapper["device_ids"] = None
    return {
        "model": job.model,
        "work_dir": str(job.folder / "logs"),
        # CheckpointHook of engine.checkpoints replaces mmengine's hook
        "default_hooks": {"checkpoint": None, "logger": {"type": "LoggerHook", "interval": 10}},
        "randomness": {"seed": job.seed},
        "launcher": "pytorch" if distributed else "none",
        # fork starts loader processes fast; OpenCV's own threads would compete with them for cores
        "env_cfg": {"mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
        # mmengine requires a name that no other Runner of this process has
        "experiment_name": f"{job.folder.name}_{id(job)}_{phase}",
        "default_scope": "mmengine",
        "cfg": {"model_wrapper_cfg": wrapper} if distributed else {},
    }


def _build_train_loader(job: TrainingJob) -> DataLoader[Any]:
    size, processes = job.recipe.batch_size, get_dist_info()[1]
    require_even_batch(size)
    require_complete_batch(job.recipe, len(job.train_dataset))
    drop_last = drops_last_batch(job.recipe, len(job.train_dataset))
    sampler: Sampler[Any] = InfiniteSeededSampler(job.train_dataset, job.seed)
    if job.recipe.by_epoch:
        sampler = SeededSampler(job.train_dataset, job.seed, size, drop_last)
    return DataLoader(
        SeededDataset(job.train_dataset),
        batch_size=size // processes,
        sampler=sampler,
        num_workers=job.recipe.workers,
        worker_init_fn=report_lost_batches,
        collate_fn=job.collate_fn,
        pin_memory=job.device == "cuda",
        drop_last=drop_last,
    )


def _build_eval_loader(job: TrainingJob, dataset: MapDataset[Any]) -> DataLoader[Any]:
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style dataset by its methods
        # the size that has already fitted into memory during training
        batch_size=max(1, job.recipe.batch_size // get_dist_info()[1] // job.recipe.accumulate),
        sampler=DefaultSampler(dataset, shuffle=False, round_up=False),  # every item is scored exactly once
        num_workers=job.recipe.workers,
        worker_init_fn=report_lost_batches,
        collate_fn=job.collate_fn,
        pin_memory=job.device == "cuda",
    )
