"""Protocol ``linear_sgd``: a linear layer by LARS or SGD, as MAE and MoCo-v3 probe; its rate chosen on val.

All rates are solved together: the heads are stacked, so one product with a batch serves them all.
Source: He et al. 2022 (MAE), table A.5 and ``main_linprobe.py``; Chen et al. 2021 (MoCo-v3). Unlike there the features
are computed once, without augmentation, and the last epoch counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classification.metrics import top1
from classification.probes.feature_extraction import Frozen, frozen_outcome, scored
from classification.probes.linear import CELLS
from classification.recipe import HeadOptimizer, LinearSgdRecipe
from engine.progress import say
from engine.progress_bar import PLAIN_EVERY_SECONDS
from engine.seeding import mix
from engine.task import Outcome, Task
from foundation.errors import BenchError
from results.records.record import Selection

EPSILON = 1e-6
"""Of the batch norm, as MAE's."""


class Heads(NamedTuple):
    """Linear layers behind one batch norm: weights (H, classes, C), biases (H, classes); the norm's statistics (C,)."""

    weights: Tensor
    biases: Tensor
    norm: nn.BatchNorm1d

    def logits(self, head: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (n, classes) that one head gives features (n, C)."""
        with torch.inference_mode():
            inputs = self.norm.eval()(torch.from_numpy(np.array(values)).to(self.weights.device))
            found = inputs @ self.weights[head].T + self.biases[head]
        return np.asarray(found.cpu().numpy(), np.float32)


def linear_sgd(frozen: Frozen, recipe: LinearSgdRecipe, task: Task) -> Outcome:
    """Train a head a rate on train, choose one on val, read test once with it."""
    began = time.monotonic()
    train, val = frozen.train(), frozen.features("val")
    extracted = time.monotonic()
    optimizer, rates = recipe.optimizer, recipe.optimizer.lr.values()
    heads = fit_heads(train.values, train.labels, optimizer, rates, frozen.seed, frozen.device, frozen.label)
    head, value = choose_head(heads, val.values, val.labels, frozen.label)
    if len(rates) > 1 and head in (0, len(rates) - 1):
        say(f"{frozen.label}: the best rate {rates[head]:g} is at the edge of the grid; widen optimizer.lr")
    chosen = head
    if recipe.train_on == "train+val":
        train = frozen.train(recipe.train_on)
        last = fit_heads(train.values, train.labels, optimizer, [rates[head]], frozen.seed, frozen.device, frozen.label)
        heads, chosen = last, 0
    fitted = time.monotonic()
    test = frozen.features("test")
    chances = torch.from_numpy(heads.logits(chosen, test.values)).double().softmax(1).numpy()
    rows = scored(test.labels, chances)
    batch = optimizer.batch_for(len(train.values))
    selection = Selection(
        split="val",
        metric="top1",
        candidates=len(rates),
        chosen=f"base lr={rates[head]:.6g}, batch {batch}, lr={rates[head] * batch / 256:.6g}, on {recipe.train_on}",
        value=value,
    )
    phases = {
        "features": extracted - began,
        "fit_and_choose": fitted - extracted,
        "test": time.monotonic() - fitted,
    }
    return frozen_outcome(frozen, task, rows, selection, phases)


def fit_heads(
    values: NDArray[np.float32],
    labels: NDArray[np.int64],
    optimizer: HeadOptimizer,
    rates: Sequence[float],
    seed: int,
    device: str = "cpu",
    label: str = "linear_sgd",
) -> Heads:
    """Train one head a rate, all on the same batches from the same initial weights (normal, deviation 0.01; biases 0).

    The norm takes each batch's own statistics in training, and the mean of them all afterwards. A last incomplete batch
    of an epoch is dropped.

    Args:
        values: features, (n, C).
        labels: classes, (n,).
        optimizer: its settings.
        rates: base learning rates, for 256 images; multiplied by batch / 256.
        seed: of initial weights and order.
        device: where to work, in float32.
        label: for the progress lines.
    """
    classes, batch = int(labels.max()) + 1, optimizer.batch_for(len(values))
    random = torch.Generator().manual_seed(mix(seed, 1))
    first = nn.init.trunc_normal_(torch.empty(classes, values.shape[1]), std=0.01, generator=random)
    weights = first.to(device).repeat(len(rates), 1, 1)
    biases = torch.zeros(weights.shape[:2], device=device)
    # features do not change in training, so no batch's statistics are older than another's: momentum None is their mean
    norm = nn.BatchNorm1d(values.shape[1], eps=EPSILON, momentum=None, affine=False).to(device)
    full = torch.tensor([rate * batch / 256 for rate in rates], device=device)
    moments = torch.zeros_like(weights), torch.zeros_like(biases)
    steps = len(values) // batch
    began = spoke = time.monotonic()
    for epoch in range(optimizer.epochs):
        order = torch.randperm(len(values), generator=random).numpy()
        for step in range(steps):
            members = order[step * batch : (step + 1) * batch]
            with torch.no_grad():
                inputs = norm(torch.from_numpy(np.array(values[members])).to(device))
            truth = torch.from_numpy(np.array(labels[members])).to(device)
            slopes = gradients(weights, biases, inputs, truth)
            lrs = full * schedule(epoch + step / steps, optimizer.epochs, optimizer.warmup)
            update(weights, moments[0], slopes[0], lrs, optimizer, adapt=optimizer.name == "LARS")
            update(biases, moments[1], slopes[1], lrs, optimizer, adapt=False)
        if time.monotonic() - spoke > PLAIN_EVERY_SECONDS:
            spoke = time.monotonic()
            left = (spoke - began) / (epoch + 1) * (optimizer.epochs - epoch - 1)
            say(f"{label}: epoch {epoch + 1}/{optimizer.epochs} of {len(rates)} heads, {left:.0f} s left")
    return Heads(weights, biases, norm)


def schedule(epoch: float, epochs: int, warmup: int) -> float:
    """Share of the full rate: linear from 0 over the warm-up, then half a cosine to 0.

    >>> [schedule(epoch, 90, 10) for epoch in (0, 5, 10, 50, 90)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if epoch < warmup:
        return epoch / warmup
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


def gradients(weights: Tensor, biases: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of each head's mean cross-entropy, as (H, classes, C) and (H, classes).

    Args:
        weights: (H, classes, C).
        biases: (H, classes).
        inputs: (n, C).
        labels: (n,).
    """
    heads, classes, width = weights.shape
    flat = weights.reshape(-1, width)
    slopes = torch.zeros_like(flat), torch.zeros_like(flat[:, 0])
    block = max(1, CELLS // len(flat))  # logits exist for a block of rows
    for start in range(0, len(inputs), block):
        rows = inputs[start : start + block]
        logits = torch.addmm(biases.reshape(-1), rows, flat.T).view(len(rows), heads, classes)
        slope = logits.softmax(2)
        truth = labels[start : start + block, None, None].expand(-1, heads, 1)
        slope.scatter_add_(2, truth, torch.full_like(slope[:, :, :1], -1))
        slope = slope.view(len(rows), -1)
        slopes[0].addmm_(slope.T, rows)
        slopes[1].add_(slope.sum(0))
    return (slopes[0] / len(inputs)).view_as(weights), (slopes[1] / len(inputs)).view_as(biases)


def update(
    parameters: Tensor, moments: Tensor, slopes: Tensor, lrs: Tensor, optimizer: HeadOptimizer, adapt: bool
) -> None:
    """One step of each head, in place: v = m v + q g, w = w - lr v.

    ``adapt`` is LARS (You et al. 2017) as in MAE's code: q = trust |w| / |g|, with g after weight decay, and 1 where
    either norm is 0; without it q = 1. Biases are not decayed.

    Args:
        parameters, moments, slopes: weights (H, classes, C) or biases (H, classes), and v and g of them.
        lrs: (H,).
        optimizer: its settings.
        adapt: whether q is LARS's.
    """
    shape = (-1,) + (1,) * (parameters.ndim - 1)
    if parameters.ndim == 3:
        slopes = slopes + optimizer.weight_decay * parameters
    if adapt:
        sizes, steep = parameters.flatten(1).norm(dim=1), slopes.flatten(1).norm(dim=1)
        trust = torch.where((sizes > 0) & (steep > 0), optimizer.trust * sizes / steep, 1.0)
        slopes = slopes * trust.view(shape)
    moments.mul_(optimizer.momentum).add_(slopes)
    parameters.sub_(lrs.view(shape) * moments)


def choose_head(
    heads: Heads, values: NDArray[np.float32], labels: NDArray[np.int64], label: str = "linear_sgd"
) -> tuple[int, float]:
    """The head with the best top-1 on val and that top-1 in percent; of equals the one of the lower rate.

    Raises:
        BenchError: every head has left the finite numbers.
    """
    found: list[float] = []
    for head in range(len(heads.weights)):
        logits = heads.logits(head, values)
        found.append(top1(labels, logits.argmax(1)) if np.isfinite(logits).all() else -1.0)
    if lost := found.count(-1.0):
        say(f"{label}: {lost} of {len(found)} rates diverged; they are not chosen from")
    best = int(np.argmax(found))
    if found[best] < 0:
        raise BenchError(f"{label}: training diverged at every rate; lower optimizer.lr.low")
    return best, found[best]
