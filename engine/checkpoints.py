"""Write checkpoints atomically, resume from them, and choose the best epoch on the validation split.

A run's ``checkpoints`` folder contains the two newest of each kind: ``step_00000012.pth`` (the complete training
state, to resume) and ``best_00000009.pth`` (weights only, to test and to reuse with ``--checkpoint``; called
``last_...`` if no epoch is chosen). A file in ``sha256`` names for each the run it belongs to and its digest.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import Tensor, nn

from engine.training_checks.checkpoint_digests import (
    CheckpointOwner,
    checkpoint_writer,
    find_digest_fault,
    get_digest_path,
)
from engine.training_checks.log_faults import report_log_fault
from foundation.errors import BenchError, CheckpointError
from foundation.storage.regular_files import open_regular

MAX_KEPT_CHECKPOINTS = 2  # if the newest one turns out to be damaged, the one before it is left


class ValidationResult(NamedTuple):
    """One validation: the epoch (or iteration) after which it was made, and the value of the selection metric."""

    step: int
    value: float


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read one of our checkpoints as plain tensors and values; code in the file is never executed.

    torch loads a file with flipped bits without a word, so the content is checked first, by its digest.

    Args:
        path: the checkpoint file.

    Raises:
        CheckpointError: the file cannot be read or is not what was written.
    """
    if fault := find_digest_fault(path):
        raise CheckpointError(fault)
    try:
        with open_regular(path) as file:
            content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the zip reader or the unpickler raise almost anything
        raise CheckpointError(f"the checkpoint {path} cannot be read ({type(error).__name__})") from error
    return content


class CheckpointRunner(Runner):
    """mmengine's Runner, but checkpoints are written atomically and loaded safely and strictly.

    Attributes:
        checkpoint_owner: the training that its checkpoints belong to.
    """

    checkpoint_owner = CheckpointOwner("", 0)

    def build_logger(self, *args: Any, **kwargs: Any) -> Any:
        """Build mmengine's logger, but print only errors to the terminal, which shows the progress bar."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:  # a FileHandler is a subclass and still gets every message
                handler.setLevel(logging.ERROR)
            elif isinstance(handler, logging.FileHandler):
                report_log_fault(handler)
        return logger

    def close_log(self) -> None:
        """Close the log file of this runner, and let mmengine forget what it keeps by the runner's name.

        It would keep both until the process ends, after perhaps 100 cells: a file and half a megabyte for each.
        """
        for handler in [each for each in self.logger.handlers if isinstance(each, logging.FileHandler)]:
            self.logger.removeHandler(handler)
            with contextlib.suppress(OSError):  # reported when the line was written; it must not hide another error
                handler.close()
        for kind in (MMLogger, MessageHub, DefaultScope, Visualizer):
            kind._instance_dict.pop(self._experiment_name, None)

    def _init_model_weights(self) -> None:
        """Do nothing, because the job's model is already initialized or loaded.

        mmengine would call ``init_weights`` of every submodule. timm's ViT has a method of that name, which would
        silently overwrite the loaded weights.
        """

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, **kwargs: Any) -> None:
        """Save a checkpoint as mmengine does, but through a temporary file, a flush to disk and a rename."""
        with checkpoint_writer(Path(out_dir, filename), self.checkpoint_owner) as partial:
            super().save_checkpoint(out_dir, partial.name, **kwargs)

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint into the model; every key must match (mmengine accepts any mismatch by default)."""
        checkpoint = read_checkpoint(Path(filename))
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        _load_whole_state(unwrap_model(self.model), checkpoint["state_dict"], filename)
        self._has_loaded = True
        return checkpoint


class InitialWeightsHook(Hook):
    """Stops a training if the weights were changed between the job (or the resumed checkpoint) and the first step.

    Args:
        model: the job's model, with its start weights.
    """

    priority = "LOWEST"  # after every hook that could change the weights

    def __init__(self, model: nn.Module) -> None:
        self.expected_checksums = _compute_checksums(model)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Expect the weights of the checkpoint, since a resumed run starts from those."""
        self.expected_checksums = {name: _compute_checksum(value) for name, value in checkpoint["state_dict"].items()}

    def before_train(self, runner: Any) -> None:
        """Compare the checksums of the weights with the expected ones.

        Raises:
            BenchError: a tensor was changed before the first step.
        """
        found = _compute_checksums(unwrap_model(runner.model))
        changed = sorted(
            name for name in self.expected_checksums | found if self.expected_checksums.get(name) != found.get(name)
        )
        if changed:
            raise BenchError(
                f"{len(changed)} tensors were changed before the first step ({', '.join(changed[:3])} ...); "
                "the start weights would be lost, so the run stops"
            )


class CheckpointHook(Hook):
    """Saves a checkpoint after each validation, records all validations, and stores the best (or the last) weights.

    Of equal values the later epoch counts as the best. A checkpoint is saved after the validation of its epoch
    (mmengine's own hook saves before it, so a resumed run would lack that validation).

    Args:
        folder: folder of the checkpoints.
        metric: key of the validation metric that chooses the epoch; ``None`` if there is no validation.
        higher_is_better: whether a larger value of this metric is better.
        by_epoch: whether lengths are in epochs (otherwise in iterations).
        save_interval: epochs or iterations between two checkpoints if there is no validation.
        select_best: choose the best validated weights; if ``False``, take the last ones.
    """

    priority = "VERY_LOW"  # after the hooks whose state is part of the checkpoint

    def __init__(
        self,
        folder: Path,
        metric: str | None,
        higher_is_better: bool,
        by_epoch: bool,
        save_interval: int = 1,
        select_best: bool = True,
    ) -> None:
        self.folder = folder
        self.select_best = select_best and metric is not None
        self.metric = metric
        self.metric_sign = 1 if higher_is_better else -1
        self.by_epoch = by_epoch
        self.save_interval = save_interval
        self.validations: list[ValidationResult] = []
        self._previous_seconds = 0.0  # of earlier attempts, from the checkpoint
        self._start_time = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Training and validation time so far, over all attempts, in seconds."""
        return self._previous_seconds + time.monotonic() - self._start_time

    @property
    def best_validation(self) -> ValidationResult:
        """The best validation so far; the last one if no epoch is chosen.

        Raises:
            CheckpointError: nothing has been validated or saved yet.
        """
        if not self.validations:
            raise CheckpointError("no validation has been made, so no epoch can be chosen")
        if not self.select_best:
            return self.validations[-1]
        # the step as second key: of equal values the later one wins
        return max(self.validations, key=lambda item: (self.metric_sign * item.value, item.step))

    def get_best_path(self) -> Path:
        """Return the file of the best weights, or of the last ones if no epoch is chosen."""
        return self.folder / f"{'best' if self.select_best else 'last'}_{self.best_validation.step:08d}.pth"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add our state; leave out the log buffers of mmengine's message hub.

        Those are objects of mmengine's classes, which ``read_checkpoint`` would refuse to load.
        """
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        checkpoint["bench"] = {
            "history": [[item.step, item.value] for item in self.validations],
            "seconds": self.elapsed_seconds,
            # the weights that would be tested after this step; a resume looks for them
            "weights": self.get_best_path().name,
        }

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Restore our state."""
        self.validations = [ValidationResult(step, value) for step, value in checkpoint["bench"]["history"]]
        self._previous_seconds = checkpoint["bench"]["seconds"]
        self._start_time = time.monotonic()

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Record the validation and save a checkpoint."""
        if self.metric is not None:
            self._save_validated(runner, runner.epoch, runner.iter, float((metrics or {})[self.metric]))

    def after_train_epoch(self, runner: Any) -> None:
        """Save a checkpoint if the run has no validation and is counted in epochs."""
        epoch = runner.epoch + 1  # mmengine increases its counter after this hook
        if self.metric is None and self.by_epoch and (epoch % self.save_interval == 0 or epoch == runner.max_epochs):
            self._save_validated(runner, epoch, runner.iter, 0.0)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint if the run has no validation and is counted in iterations."""
        count = runner.iter + 1  # mmengine increases its counter after this hook
        if self.metric is None and not self.by_epoch and (count % self.save_interval == 0 or count == runner.max_iters):
            self._save_validated(runner, runner.epoch, count, 0.0)

    def _save_validated(self, runner: Any, epoch: int, iteration: int, value: float) -> None:
        step = epoch if self.by_epoch else iteration
        self.validations.append(ValidationResult(step, value))
        # The weights come first: a checkpoint whose history names a best step must find that step's file.
        if runner.rank == 0 and self.best_validation.step == step:
            with checkpoint_writer(self.get_best_path(), runner.checkpoint_owner) as partial:
                torch.save({"state_dict": _get_cpu_state_dict(unwrap_model(runner.model)), "step": step}, partial)
        meta = {"epoch": epoch, "iter": iteration}
        runner.save_checkpoint(str(self.folder), f"step_{step:08d}.pth", meta=meta, by_epoch=self.by_epoch)
        if runner.rank == 0:
            # names contain the step with leading zeros, so the alphabetic order is the order of steps
            for pattern in ("step_*.pth", "best_*.pth", "last_*.pth"):
                paths = sorted(self.folder.glob(pattern))
                # Files of later steps belong to checkpoints that were set aside as damaged. Counted among the newest,
                # they would make this attempt delete its own weights.
                later = [path for path in paths if int(path.stem.rpartition("_")[2]) > step]
                for old in [*paths[: len(paths) - len(later)][:-MAX_KEPT_CHECKPOINTS], *later]:
                    old.unlink()
                    get_digest_path(old).unlink(missing_ok=True)


def find_resume_checkpoint(
    folder: Path, log_warning: Any, owner: CheckpointOwner = CheckpointRunner.checkpoint_owner
) -> Path | None:
    """Return the newest checkpoint that is whole and belongs to this training, or ``None``.

    A checkpoint that cannot be used is reported and renamed to ``.broken``, and the one before it is tried. A
    checkpoint is also unusable if the weights that it would test are: they alone decide the number.

    Args:
        folder: folder of the checkpoints.
        log_warning: function that prints a line.
        owner: the training that resumes; with a run id, checkpoints must have one.

    Raises:
        CheckpointError: the checkpoints have no digest and the owner has a run id, so they cannot be checked.
    """
    for leftover in folder.rglob(".*.tmp"):  # left over if the process was killed while saving
        leftover.unlink()
    paths = sorted(folder.glob("step_*.pth"), reverse=True)
    if owner.run_id and paths and not any(get_digest_path(path).is_file() for path in paths):
        raise CheckpointError(
            f"the checkpoints in {folder} have no digests to check them by (an earlier version of bench wrote none); "
            "run again with --fresh"
        )
    for path in paths:
        fault = _find_resume_fault(path, owner)
        if fault is None:
            return path
        log_warning(
            f"{fault}; {'trying the checkpoint before it' if path != paths[-1] else 'the training starts anew'}"
        )
        path.rename(path.with_suffix(".broken"))
    return None


def _find_resume_fault(path: Path, owner: CheckpointOwner) -> str | None:
    """Return why a training must not go on from a checkpoint, as a sentence; ``None`` if it may."""
    fault = _find_file_fault(path, owner)
    if fault is not None:
        return fault
    try:
        weights = read_checkpoint(path).get("bench", {}).get("weights")
    except CheckpointError as error:
        return str(error)
    return _find_file_fault(path.with_name(weights), owner) if weights else None


def _find_file_fault(path: Path, owner: CheckpointOwner) -> str | None:
    if not path.is_file():
        return f"the checkpoint {path} is missing"
    if owner.run_id and not get_digest_path(path).is_file():
        return f"the checkpoint {path} has no digest to check it by"
    return find_digest_fault(path, owner)


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the model inside a distributed wrapper, or the model itself."""
    inner = model.module if is_model_wrapper(model) else model
    assert isinstance(inner, nn.Module)
    return inner


def _load_whole_state(model: nn.Module, state: dict[str, Tensor], filename: str) -> None:
    """Load a state dict into a model; every name and shape must match.

    Args:
        model: the model.
        state: tensors by name.
        filename: the checkpoint, for the message.

    Raises:
        CheckpointError: a name or shape does not match, for example in a checkpoint of an earlier version of bench.
    """
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        own = model.state_dict()
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        names = ", ".join([*missing[:2], *extra[:2]]) or "shapes"
        raise CheckpointError(
            f"{filename} does not fit this {type(model).__name__} ({len(missing)} names missing, {len(extra)} unknown: "
            f"{names}); it was written by another version of bench, so run again with --fresh"
        ) from error


def _get_cpu_state_dict(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}


def _compute_checksums(model: nn.Module) -> dict[str, tuple[float, float]]:
    return {name: _compute_checksum(value) for name, value in model.state_dict().items()}


def _compute_checksum(value: Tensor) -> tuple[float, float]:
    """Compute two numbers that any re-initialization changes.

    They are computed on the CPU, so that moving the model to another device does not change them.
    """
    flat = value.detach().cpu().double().flatten()
    return float(flat.sum()), float(flat.square().sum())
