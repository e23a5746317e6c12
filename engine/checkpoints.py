"""Checkpoints that are whole or not there, and the choice of the best epoch on the validation split.

In a run's ``checkpoints`` folder: ``step_00000012.pth`` (everything, to resume; the two newest) and
``best_00000009.pth`` (weights only, to test and to reuse with ``--checkpoint``; the two newest; ``last_...`` where
nothing is chosen).
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from foundation.errors import BenchError, CheckpointError
from foundation.files import atomic_writer

MAX_KEPT_CHECKPOINTS = 2


class ValidationResult(NamedTuple):
    """One validation: the epoch (or iteration) it came after, and the value of the selection metric."""

    step: int
    value: float


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours as plain tensors and values.

    Raises:
        CheckpointError: unreadable.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read ({type(error).__name__})") from error
    return content


class CheckpointRunner(Runner):
    """mmengine's Runner with checkpoints that are written in one piece and loaded safely and strictly."""

    def build_logger(self, *args: Any, **kwargs: Any) -> Any:
        """As mmengine's, but the terminal is left to the progress display; the file has everything."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.ERROR)
        return logger

    def _init_model_weights(self) -> None:
        """Leave the weights alone: a job hands over a model that is initialised or loaded.

        mmengine would call ``init_weights`` of every submodule, and timm's ViT has a method of that name: it
        would throw the loaded weights away without a word.
        """

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, **kwargs: Any) -> None:
        """As mmengine's, through a temporary file, a flush to disk and a rename."""
        partial = f".{filename}.tmp"
        super().save_checkpoint(out_dir, partial, **kwargs)
        path = Path(out_dir, partial)
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        path.replace(Path(out_dir, filename))

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load into the model; every key must match (mmengine's default accepts any mismatch)."""
        checkpoint = read_checkpoint(Path(filename))
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        _load_whole_state(unwrap_model(self.model), checkpoint["state_dict"], filename)
        self._has_loaded = True
        return checkpoint


class InitialWeightsHook(Hook):
    """Stops a training whose weights are not those that were handed over (or resumed)."""

    priority = "LOWEST"

    def __init__(self, model: nn.Module) -> None:
        self.expected_checksums = _compute_checksums(model)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """A resumed run starts from the checkpoint's weights instead."""
        self.expected_checksums = {name: _compute_checksum(value) for name, value in checkpoint["state_dict"].items()}

    def before_train(self, runner: Any) -> None:
        """Compare.

        Raises:
            BenchError: a tensor was changed between hand-over and the first step.
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
    """Saves after each validation, remembers every validation, and marks the best, or the last where none is chosen.

    Ties go to the later epoch. A checkpoint is saved after its epoch's validation (mmengine's own hook saves
    before it, and a resumed run then lacks that validation).

    Args:
        folder: where checkpoints go.
        metric: the validation's metric that is decided by; ``None``: there is no validation.
        higher_is_better: its direction.
        by_epoch: whether lengths are in epochs, not iterations.
        save_interval: epochs or iterations between checkpoints where there is no validation.
        select_best: off, the last weights are taken, whatever the validations say.
    """

    priority = "VERY_LOW"

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
        self._previous_seconds = 0.0
        self._start_time = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Training and validation time so far, over all attempts."""
        return self._previous_seconds + time.monotonic() - self._start_time

    @property
    def best_validation(self) -> ValidationResult:
        """The best validation so far.

        Raises:
            CheckpointError: nothing was validated, or saved.
        """
        if not self.validations:
            raise CheckpointError("no validation has been made, so no epoch can be chosen")
        if not self.select_best:
            return self.validations[-1]
        return max(self.validations, key=lambda item: (self.metric_sign * item.value, item.step))

    def get_best_path(self) -> Path:
        """The weights of the best validation, or the last ones."""
        return self.folder / f"{'best' if self.select_best else 'last'}_{self.best_validation.step:08d}.pth"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Put our state in; leave the message hub's log buffers out (they need a pickle with classes)."""
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        checkpoint["bench"] = {
            "history": [[item.step, item.value] for item in self.validations],
            "seconds": self.elapsed_seconds,
        }

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Take our state back."""
        self.validations = [ValidationResult(step, value) for step, value in checkpoint["bench"]["history"]]
        self._previous_seconds = checkpoint["bench"]["seconds"]
        self._start_time = time.monotonic()

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Remember, mark the best, save, prune."""
        if self.metric is not None:
            self._save_validated(runner, runner.epoch, runner.iter, float((metrics or {})[self.metric]))

    def after_train_epoch(self, runner: Any) -> None:
        """Save where there is no validation to do it after."""
        epoch = runner.epoch + 1  # mmengine counts it after this hook
        if self.metric is None and self.by_epoch and (epoch % self.save_interval == 0 or epoch == runner.max_epochs):
            self._save_validated(runner, epoch, runner.iter, 0.0)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Save where there is no validation to do it after."""
        count = runner.iter + 1
        if self.metric is None and not self.by_epoch and (count % self.save_interval == 0 or count == runner.max_iters):
            self._save_validated(runner, runner.epoch, count, 0.0)

    def _save_validated(self, runner: Any, epoch: int, iteration: int, value: float) -> None:
        step = epoch if self.by_epoch else iteration
        self.validations.append(ValidationResult(step, value))
        if runner.rank == 0 and self.best_validation.step == step:
            with atomic_writer(self.get_best_path()) as file:
                torch.save({"state_dict": _get_cpu_state_dict(unwrap_model(runner.model)), "step": step}, file)
        meta = {"epoch": epoch, "iter": iteration}
        runner.save_checkpoint(str(self.folder), f"step_{step:08d}.pth", meta=meta, by_epoch=self.by_epoch)
        if runner.rank == 0:
            for pattern in ("step_*.pth", "best_*.pth", "last_*.pth"):
                for old in sorted(self.folder.glob(pattern))[:-MAX_KEPT_CHECKPOINTS]:
                    old.unlink()


def find_resume_checkpoint(folder: Path, log_warning: Any) -> Path | None:
    """The newest checkpoint to resume from; one that cannot be read is named and the one before it is taken."""
    for leftover in folder.glob(".*.tmp"):  # of a kill in the middle of a save
        leftover.unlink()
    for path in sorted(folder.glob("step_*.pth"), reverse=True):
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            log_warning(f"{error}; going back to the one before")
            path.rename(path.with_suffix(".broken"))
            continue
        return path
    return None


def unwrap_model(model: nn.Module) -> nn.Module:
    """The model inside a distributed wrapper."""
    inner = model.module if is_model_wrapper(model) else model
    assert isinstance(inner, nn.Module)
    return inner


def _load_whole_state(model: nn.Module, state: dict[str, Tensor], filename: str) -> None:
    """Load a state dict; every name and shape must match.

    Raises:
        CheckpointError: they do not, for example in a checkpoint of an earlier version of bench.
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
    """Two numbers that any re-initialisation changes; on the CPU, so that a move between devices does not."""
    flat = value.detach().cpu().double().flatten()
    return float(flat.sum()), float(flat.square().sum())
