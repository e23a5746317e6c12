"""Stop a training whose loss or weights are no longer finite, before anything is saved or scored."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from engine.device import get_dist_info
from engine.recipe import TrainingRecipe
from foundation.errors import TrainingDivergedError

CHECK_INTERVAL = 10
"""Steps between two looks at the losses. Each look waits for the GPU, as mmengine's logger does at the same steps."""


class DivergenceHook(Hook):
    """Notes every loss on the device, and looks at what was noted before anything is saved, validated or scored.

    Only the loss itself counts, not its multiple in fp16: a step that the gradient scaler skips because its scale was
    too high leaves loss and weights finite, and the scaler lowers its scale. With several processes all of them stop
    together, as one alone would leave the others waiting.

    Args:
        recipe: gives the moments at which a checkpoint is saved, and the settings that the message advises to change.

    Attributes:
        first_bad_step: the first step whose loss was not finite, counted from 1; infinity while there is none.
        last_finite_loss: the newest finite loss before that step.
    """

    priority = "NORMAL"  # before the hooks that write a curve or save a checkpoint

    def __init__(self, recipe: TrainingRecipe) -> None:
        self.recipe = recipe
        self.first_bad_step: Tensor | None = None
        self.last_finite_loss: Tensor | None = None
        self._non_finite_at_start: set[str] = set()

    def before_train(self, runner: Any) -> None:
        """Remember which tensors are not finite from the start, such as a mask of minus infinity in a user's module."""
        self._non_finite_at_start = set(_list_non_finite_tensors(runner.model))

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        """Note the loss of the step, and look at what was noted every few steps and where a checkpoint is due.

        Raises:
            TrainingDivergedError: a loss or a weight is not finite.
        """
        step = runner.iter + 1  # mmengine increases its counter after this hook
        self._note_loss(step, (outputs or {})["loss"])
        by_epoch = self.recipe.by_epoch
        saves = not by_epoch and (step % self.recipe.val_interval == 0 or step == runner.max_iters)
        if saves or step % CHECK_INTERVAL == 0:
            self.require_finite_losses()
        if saves:
            self.require_finite_weights(runner.model, step)

    def after_train_epoch(self, runner: Any) -> None:
        """Look at losses and weights at the end of each epoch, before it is validated or saved.

        Raises:
            TrainingDivergedError: a loss or a weight is not finite.
        """
        self.require_finite_losses()
        self.require_finite_weights(runner.model, runner.iter)

    def _note_loss(self, step: int, loss: Tensor) -> None:
        # tensors on the device: a conversion to a Python number would wait for the GPU in every step
        loss = loss.detach().double()
        if self.first_bad_step is None or self.last_finite_loss is None:
            self.first_bad_step = torch.full_like(loss, math.inf)
            self.last_finite_loss = torch.full_like(loss, math.nan)
        good, now = torch.isfinite(loss), torch.full_like(loss, step)
        self.first_bad_step = torch.where(good, self.first_bad_step, torch.minimum(self.first_bad_step, now))
        keeps = good & torch.isinf(self.first_bad_step)
        self.last_finite_loss = torch.where(keeps, loss, self.last_finite_loss)

    def require_finite_losses(self) -> None:
        """Require that every loss so far was finite, in all processes.

        Raises:
            TrainingDivergedError: the message names the first step whose loss was not, and the likely cures.
        """
        if self.first_bad_step is None or self.last_finite_loss is None:
            return
        step, last = torch.stack([_find_minimum(self.first_bad_step), self.last_finite_loss]).tolist()
        if math.isfinite(step):
            before = f" (the last finite one was {last:.4g})" if math.isfinite(last) else ""
            raise TrainingDivergedError(
                f"the training diverged: the loss is not a finite number at step {step:.0f}{before}; {self._cures()}"
            )

    def require_finite_weights(self, model: Any, step: int) -> None:
        """Require that all tensors that a checkpoint would hold are finite, in all processes.

        Args:
            model: the model, or its distributed wrapper.
            step: number of steps done, for the message.

        Raises:
            TrainingDivergedError: the message names the first tensor that is not, and the likely cures.
        """
        names = [name for name in _list_non_finite_tensors(model) if name not in self._non_finite_at_start]
        count = torch.tensor(-len(names), device=next(model.parameters()).device)
        if int(_find_minimum(count)) < 0:
            what = f" ({names[0]})" if names else ""
            raise TrainingDivergedError(
                f"the training diverged: {-int(count) or 'some'} tensors of the model are not finite{what} at step "
                f"{step}; {self._cures()}"
            )

    def _cures(self) -> str:
        cures = ["lower optimizer.lr to a tenth"]
        if self.recipe.clip_grad is None:
            cures.append("set clip_grad")
        cures.append("lengthen schedule.warmup")
        if self.recipe.precision != "fp32":
            cures.append("set precision=fp32")
        return ", ".join(cures[:-1]) + f", or {cures[-1]}"


def _list_non_finite_tensors(model: Any) -> list[str]:
    inner = model.module if is_model_wrapper(model) else model
    names, flags = [], []
    for name, value in inner.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            names.append(name)
            flags.append(torch.isfinite(value).all())
    # one copy to the CPU for all tensors, as each copy waits for the GPU
    finite = torch.stack(flags).tolist() if flags else []
    return [name for name, good in zip(names, finite, strict=True) if not good]


def _find_minimum(value: Tensor) -> Tensor:
    """Return the smallest value over all processes."""
    if get_dist_info()[1] > 1:
        value = value.clone()
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MIN)
    return value
