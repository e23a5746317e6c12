"""A hook that times optimizer steps, a validation and a checkpoint, and then ends the training of a calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from engine.calibration.scope import CalibrationDone, CalibrationScope, LoopTimer, get_calibration, measure_items
from engine.checkpoints import MAX_KEPT_CHECKPOINTS, CheckpointHook


class TrainingMeasured(Exception):  # noqa: N818 - not an error: the steps were measured
    """Ends the training of a calibration."""


class TrainingTimer(Hook):
    """Times a training; in a real run there is no such hook.

    Args:
        scope: the calibration.
        keeper: saves the checkpoints of the training.
        num_saves: number of validations, or of checkpoints, of a complete training.
    """

    priority = "LOWEST"

    def __init__(self, scope: CalibrationScope, keeper: CheckpointHook, num_saves: int) -> None:
        self.scope, self.keeper, self.num_saves = scope, keeper, num_saves
        self._timer: LoopTimer | None = None
        self._is_interrupted = False

    def before_train_epoch(self, runner: Any) -> None:
        """Between two epochs there are validations and checkpoints, which are timed on their own."""
        self._is_interrupted = self._timer is not None

    def after_val(self, runner: Any) -> None:
        """The same between two iterations."""
        self._is_interrupted = self._timer is not None

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Start the clock at the first step."""
        if self._timer is None:
            self._timer = LoopTimer(self.scope, "train", "steps", runner.max_iters)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Count the step; after enough of them measure what comes between the steps.

        Raises:
            TrainingMeasured: everything was measured.
        """
        assert self._timer is not None
        if self._is_interrupted:
            self._timer.skip_item()
            self._is_interrupted, is_enough = False, False
        else:
            is_enough = self._timer.advance()
        if is_enough or runner.iter + 1 >= runner.max_iters:
            self._timer.finish()
            if runner.val_loop is not None:
                self._time_validation(runner)
            self._time_checkpoint(runner)
            raise TrainingMeasured

    def _time_validation(self, runner: Any) -> None:
        loop = runner.val_loop
        runner.call_hook("before_val")
        runner.call_hook("before_val_epoch")
        runner.model.eval()
        batches = len(loop.dataloader)
        for number, batch in enumerate(measure_items("validate", "batches", self.num_saves * batches, loop.dataloader)):
            loop.run_iter(number, batch)
        runner.model.train()

    def _time_checkpoint(self, runner: Any) -> None:
        # the first one takes longer, as it loads code
        self.keeper._save_validated(runner, runner.epoch + 1, runner.iter + 1, 0.0)
        timer = LoopTimer(self.scope, "save checkpoints", "checkpoints", self.num_saves)
        self.keeper._save_validated(runner, runner.epoch + 2, runner.iter + 2, 0.0)
        timer.finish(num_done=1)
        kept = min(MAX_KEPT_CHECKPOINTS, self.num_saves)
        for kind in ("step", "last", "best"):
            sizes = [path.stat().st_size for path in self.keeper.folder.glob(f"{kind}_*.pth")]
            self.scope.disk_bytes += kept * max(sizes, default=0)


def make_training_timers(keeper: CheckpointHook, length: int, save_interval: int) -> list[Hook]:
    """Return the hook that times a training, in a calibration; none in a real run.

    Args:
        keeper: saves the checkpoints.
        length: length of the training, in epochs or iterations.
        save_interval: epochs or iterations between two validations, or two checkpoints.
    """
    scope = get_calibration()
    # the last epoch or iteration is always validated
    return [] if scope is None else [TrainingTimer(scope, keeper, -(-length // save_interval))]


def time_test_batches(runner: Any, folder: Path) -> None:
    """Time some batches of a test and end the calibration; in a real run this does nothing.

    Args:
        runner: mmengine's runner of the test.
        folder: the run's folder, into which the test may write predictions.

    Raises:
        CalibrationDone: in a calibration.
    """
    scope = get_calibration()
    if scope is None:
        return
    loop, before = runner.test_loop, _measure_files(folder)
    runner.call_hook("before_test")
    runner.call_hook("before_test_epoch")
    runner.model.eval()
    total, done = len(loop.dataloader), 0
    for number, batch in enumerate(measure_items("test", "batches", total, loop.dataloader)):
        loop.run_iter(number, batch)
        done += 1
    scope.disk_bytes += (_measure_files(folder) - before) * total / max(1, done)
    raise CalibrationDone


def _measure_files(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
