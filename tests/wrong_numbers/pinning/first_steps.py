"""Run the first three steps of a task's own training, and note its losses and its parameter groups."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from mmengine.runner import Runner
from torch import nn

from backbones.card import BackboneCard
from backbones.weights import InitialWeights
from engine.checkpoints import CheckpointRunner
from engine.task import RunPlan, RunRequest, Task
from foundation.run_scope import open_run_scope

NUM_STEPS = 3

GROUP_SETTINGS = ("betas", "eps", "momentum", "dampening", "nesterov", "amsgrad")
"""Settings of torch's optimizers that change a number; others choose between implementations of the same step."""


class FirstSteps(NamedTuple):
    """The first steps of a training.

    Attributes:
        plan: the plan of the run.
        losses: value of each loss in each step, by name.
        optimizer: the optimizer's name and settings, the gradient clipping, and one row per parameter group.
        learning_rates: learning rate of each parameter group before the schedule, without repeats, the highest first.
        model: the model after the last step.
    """

    plan: RunPlan
    losses: dict[str, list[float]]
    optimizer: dict[str, Any]
    learning_rates: list[float]
    model: nn.Module


class _EnoughStepsError(Exception):
    """Ends a training after its first steps."""


def run_first_steps(
    task: Task, protocol: str, card: BackboneCard, overrides: Sequence[str], data_root: Path, out: Path
) -> FirstSteps:
    """Plan and run a task like ``bench run`` does, and stop after three steps.

    Args:
        task: the task.
        protocol: name of the protocol.
        card: the backbone; it starts from random weights.
        overrides: ``key=value`` texts that reduce the protocol, as for ``--set``.
        data_root: the data root.
        out: the run's folder.
    """
    steps: list[dict[str, float]] = []
    optimizer: dict[str, Any] = {}
    rates: list[float] = []
    models: list[nn.Module] = []

    def call_hook(runner: Any, moment: str, **arguments: Any) -> None:
        Runner.call_hook(runner, moment, **arguments)
        if moment == "before_train_iter" and not steps:
            optimizer.update(_describe_optimizer(runner.optim_wrapper))
            groups = runner.optim_wrapper.optimizer.param_groups
            rates.extend(sorted({float(group["initial_lr"]) for group in groups}, reverse=True))
            models.append(runner.model)
        if moment == "after_train_iter":
            steps.append({name: float(value.detach()) for name, value in arguments["outputs"].items()})
            if len(steps) == NUM_STEPS:
                raise _EnoughStepsError

    start = InitialWeights("random", None, None)
    with open_run_scope(), patch.object(CheckpointRunner, "call_hook", call_hook, create=True):
        request = RunRequest(card, start, protocol, "full", 0, tuple(overrides), data_root, "cpu")
        plan = task.plan(request, task.check_data(data_root))
        with suppress(_EnoughStepsError):
            task.run(request, plan, out)
    assert len(steps) == NUM_STEPS, f"{task.name} {protocol} ended after {len(steps)} steps"
    losses = {name: [step[name] for step in steps] for name in steps[0] if "loss" in name}
    return FirstSteps(plan, losses, optimizer, rates, models[0])


def _describe_optimizer(wrapper: Any) -> dict[str, Any]:
    """Describe an optimizer with its parameter groups, in an order that does not depend on how they were made.

    A group is its learning rate, its weight decay, its number of tensors and its number of values: a tensor that goes
    to another group changes two of them.
    """
    found = wrapper.optimizer.param_groups  # those of the wrapper have one more, which only mmengine's log needs
    groups = [
        [*(float(group[name]) for name in ("initial_lr", "weight_decay")), len(group["params"]), _count_values(group)]
        for group in found
    ]
    settings = {name: found[0][name] for name in GROUP_SETTINGS if name in found[0]}
    clip = wrapper.clip_grad_kwargs or {}
    return {
        "name": type(wrapper.optimizer).__name__,
        **settings,
        "max_norm": clip.get("max_norm"),
        "groups (rate, decay, tensors, values)": sorted(groups, reverse=True),
    }


def _count_values(group: Any) -> int:
    return sum(each.numel() for each in group["params"])
