"""Protocol ``linear_sgd``: a linear layer trained with LARS or SGD, as in the probes of MAE and MoCo-v3.

The learning rate is chosen on val. The layers of all rates ("heads") are trained together: their weights are stacked,
so one matrix product with a batch serves them all.

Source: He et al. 2022 (MAE), table A.5 and ``main_linprobe.py``; Chen et al. 2021 (MoCo-v3). Two things differ: the
features are computed once, without augmentation, and the last epoch is used.
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

from classification.metrics import compute_top1
from classification.probes.feature_extraction import FrozenBackbone
from classification.probes.linear import MAX_LOGITS
from classification.probes.probe_outcome import build_accuracy_outcome, score_rows
from classification.recipe import HeadOptimizerConfig, LinearSgdRecipe
from engine.calibration.scope import get_calibration, measure_items
from engine.progress_bar import ProgressBar, log_message
from engine.seeding import derive_seed
from engine.task import Task, TaskOutcome
from foundation.errors import TrainingDivergedError
from results.records.record import ModelSelection

BATCH_NORM_EPS = 1e-6
"""Epsilon of the batch norm, the same as MAE's."""


class LinearHeads(NamedTuple):
    """Linear layers behind one shared batch norm; H is the number of heads.

    Attributes:
        weights: (H, classes, C).
        biases: (H, classes).
        norm: batch norm without parameters, with statistics of shape (C,).
    """

    weights: Tensor
    biases: Tensor
    norm: nn.BatchNorm1d

    def compute_logits(self, head: int, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the logits (n, classes) of one head for features (n, C)."""
        with torch.inference_mode():
            inputs = self.norm.eval()(torch.from_numpy(np.array(features)).to(self.weights.device))
            found = inputs @ self.weights[head].T + self.biases[head]
        return np.asarray(found.cpu().numpy(), np.float32)


class SelectedHead(NamedTuple):
    """The head chosen on val.

    Attributes:
        head: index of the head.
        val_top1: its top-1 accuracy on val, percent.
        diverged: indices of the heads that diverged; they are not chosen from.
    """

    head: int
    val_top1: float
    diverged: list[int]


def run_linear_sgd(frozen: FrozenBackbone, recipe: LinearSgdRecipe, task: Task) -> TaskOutcome:
    """Train one head per learning rate on train, choose one on val, and test it once.

    Args:
        frozen: gives the features.
        recipe: gives the optimizer, the grid of rates, and the splits to train on.
        task: gives name and metrics.
    """
    began = time.monotonic()
    train, val = frozen.get_train_features(), frozen.get_features("val")
    extracted = time.monotonic()
    optimizer, rates = recipe.optimizer, recipe.optimizer.lr.values()
    heads = train_heads(train.features, train.labels, optimizer, rates, frozen.seed, frozen.device, frozen.label)
    head, value, diverged = select_head(heads, val.features, val.labels, frozen.label)
    if len(rates) > 1 and head in (0, len(rates) - 1):
        log_message(f"{frozen.label}: the best rate {rates[head]:g} is at the edge of the grid; widen optimizer.lr")
    chosen = head
    if recipe.train_on == "train+val":
        train = frozen.get_train_features(recipe.train_on)
        last = train_heads(
            train.features, train.labels, optimizer, [rates[head]], frozen.seed, frozen.device, frozen.label
        )
        heads, chosen = last, 0  # this training had a single rate
        if not np.isfinite(last.compute_logits(0, train.features)).all():
            raise TrainingDivergedError(
                f"{frozen.label}: the training on {recipe.train_on} diverged at the rate that val chose, "
                f"{rates[head]:g}; lower optimizer.lr.high"
            )
    fitted = time.monotonic()
    test = frozen.get_features("test")
    chances = torch.from_numpy(heads.compute_logits(chosen, test.features)).double().softmax(1).numpy()
    rows = score_rows(test.labels, chances)
    batch = optimizer.get_batch_size_for(len(train.features))
    selection = ModelSelection(
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
    details = {"diverged_rates": [rates[each] for each in diverged]} if diverged else {}
    return build_accuracy_outcome(frozen, task, rows, selection, phases, details)


def train_heads(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    optimizer: HeadOptimizerConfig,
    base_lrs: Sequence[float],
    seed: int,
    device: str = "cpu",
    label: str = "linear_sgd",
) -> LinearHeads:
    """Train one head per learning rate, all on the same batches and from the same initial weights.

    Weights start from a normal distribution with standard deviation 0.01, biases from 0. The batch norm uses the
    statistics of each batch while training, and the mean of all these statistics afterwards. The last batch of an epoch
    is dropped if it is incomplete.

    Args:
        features: (n, C).
        labels: class indices, (n,).
        optimizer: the settings of the training.
        base_lrs: base learning rates for 256 images; they are multiplied by batch size / 256.
        seed: seed of the initial weights and of the order of the items.
        device: where to train, in float32.
        label: prefix of the progress lines.
    """
    classes, batch = int(labels.max()) + 1, optimizer.get_batch_size_for(len(features))
    random = torch.Generator().manual_seed(derive_seed(seed, 1))
    first = nn.init.trunc_normal_(torch.empty(classes, features.shape[1]), std=0.01, generator=random)
    # one copy of the initial weights per head, (H, classes, C)
    weights = first.to(device).repeat(len(base_lrs), 1, 1)
    biases = torch.zeros(weights.shape[:2], device=device)
    # momentum=None averages the statistics of all batches; the features do not change during training, so old
    # statistics are as good as new ones, and a running average would still be near its start after few steps
    norm = nn.BatchNorm1d(features.shape[1], eps=BATCH_NORM_EPS, momentum=None, affine=False).to(device)
    full = torch.tensor([rate * batch / 256 for rate in base_lrs], device=device)
    moments = torch.zeros_like(weights), torch.zeros_like(biases)
    steps = len(features) // batch
    unit = f"of {len(base_lrs)} heads"
    with ProgressBar(label, unit, optimizer.epochs, count_prefix="epoch", with_rate=False) as progress:
        for epoch in range(optimizer.epochs):
            order = torch.randperm(len(features), generator=random).numpy()
            # in a calibration the first epoch stands for all of them
            for step in measure_items("train heads", "steps", steps * optimizer.epochs, range(steps)):
                members = order[step * batch : (step + 1) * batch]
                with torch.no_grad():
                    inputs = norm(torch.from_numpy(np.array(features[members])).to(device))
                truth = torch.from_numpy(np.array(labels[members])).to(device)
                # all heads see the same inputs (b, C); the norm has no parameters, so no gradient goes through it
                slopes = compute_head_gradients(weights, biases, inputs, truth)
                # the schedule moves every step and not every epoch, as in MAE's code
                lrs = full * get_lr_factor(epoch + step / steps, optimizer.epochs, optimizer.warmup)
                update_heads(weights, moments[0], slopes[0], lrs, optimizer, use_lars=optimizer.name == "LARS")
                # LARS adapts the weights only, as in MAE's code
                update_heads(biases, moments[1], slopes[1], lrs, optimizer, use_lars=False)
            progress.advance()
            if get_calibration() is not None:
                break
    return LinearHeads(weights, biases, norm)


def get_lr_factor(epoch: float, epochs: int, warmup_epochs: int) -> float:
    """Return the factor on the learning rate: linear from 0 during the warm-up, then half a cosine down to 0.

    Args:
        epoch: time in epochs, with a fraction.
        epochs: length of the training in epochs.
        warmup_epochs: length of the warm-up in epochs.

    >>> [get_lr_factor(epoch, 90, 10) for epoch in (0, 5, 10, 50, 90)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if epoch < warmup_epochs:
        return epoch / warmup_epochs
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs)))


def compute_head_gradients(weights: Tensor, biases: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the gradient of each head's mean cross-entropy.

    Args:
        weights: (H, classes, C).
        biases: (H, classes).
        inputs: normalized features, (n, C).
        labels: class indices, (n,).

    Returns:
        Gradients by the weights (H, classes, C) and by the biases (H, classes).
    """
    heads, classes, width = weights.shape
    flat = weights.reshape(-1, width)
    slopes = torch.zeros_like(flat), torch.zeros_like(flat[:, 0])
    # a full batch would need n * H * classes logits, so they are computed for a block of rows at a time
    block = max(1, MAX_LOGITS // len(flat))
    for start in range(0, len(inputs), block):
        rows = inputs[start : start + block]
        logits = torch.addmm(biases.reshape(-1), rows, flat.T).view(len(rows), heads, classes)
        # gradient of the cross-entropy by the logits: softmax - one_hot(label), (rows, H, classes)
        slope = logits.softmax(2)
        truth = labels[start : start + block, None, None].expand(-1, heads, 1)
        slope.scatter_add_(2, truth, torch.full_like(slope[:, :, :1], -1))
        slope = slope.view(len(rows), -1)  # (rows, H * classes), to match the flat weights
        slopes[0].addmm_(slope.T, rows)
        slopes[1].add_(slope.sum(0))
    return (slopes[0] / len(inputs)).view_as(weights), (slopes[1] / len(inputs)).view_as(biases)


def update_heads(
    parameters: Tensor,
    momentum_buffers: Tensor,
    gradients: Tensor,
    lrs: Tensor,
    optimizer: HeadOptimizerConfig,
    use_lars: bool,
) -> None:
    """Take one optimizer step of each head, in place: v = m v + q g, w = w - lr v.

    With LARS (You et al. 2017), as in MAE's code, q = trust |w| / |g|, where g includes the weight decay; q is 1 where
    either norm is 0. Without LARS, q = 1. Biases are not decayed.

    Args:
        parameters: w, the weights (H, classes, C) or the biases (H, classes).
        momentum_buffers: v, of the same shape.
        gradients: g, of the same shape.
        lrs: learning rate of each head, (H,).
        optimizer: gives momentum m, weight decay and trust coefficient.
        use_lars: whether q is that of LARS.
    """
    shape = (-1,) + (1,) * (parameters.ndim - 1)  # broadcasts one value per head over its parameters
    if parameters.ndim == 3:  # weights; biases have two dimensions
        gradients = gradients + optimizer.weight_decay * parameters
    if use_lars:
        # one norm per head, (H,): the heads are independent trainings that only share a tensor
        sizes, steep = parameters.flatten(1).norm(dim=1), gradients.flatten(1).norm(dim=1)
        trust = torch.where((sizes > 0) & (steep > 0), optimizer.trust * sizes / steep, 1.0)
        gradients = gradients * trust.view(shape)
    momentum_buffers.mul_(optimizer.momentum).add_(gradients)
    parameters.sub_(lrs.view(shape) * momentum_buffers)


def select_head(
    heads: LinearHeads, features: NDArray[np.float32], labels: NDArray[np.int64], label: str = "linear_sgd"
) -> SelectedHead:
    """Choose the head with the best top-1 accuracy on val; among equals, the one with the lowest learning rate.

    Args:
        heads: the trained heads, in ascending order of their learning rates.
        features: features of val, (n, C).
        labels: class indices of val, (n,).
        label: prefix of the progress lines.

    Raises:
        TrainingDivergedError: the training diverged at every rate.
    """
    found: list[float] = []
    for head in range(len(heads.weights)):
        logits = heads.compute_logits(head, features)
        # a head with infinite or undefined logits diverged; -1 is below every accuracy
        found.append(compute_top1(labels, logits.argmax(1)) if np.isfinite(logits).all() else -1.0)
    diverged = [head for head, value in enumerate(found) if value < 0]
    if diverged:
        log_message(f"{label}: {len(diverged)} of {len(found)} rates diverged; they are not chosen from")
    best = int(np.argmax(found))  # argmax returns the first of equal values
    if found[best] < 0:
        raise TrainingDivergedError(f"{label}: training diverged at every rate; lower optimizer.lr.low")
    return SelectedHead(best, found[best], diverged)
