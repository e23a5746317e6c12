"""A training step compiled by ``torch.compile``: the same losses as without, to 1e-5 relative."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from backbones.create import create_backbone
from classification.model import Classifier
from tests.pretraining.make import make_batch, make_method

pytestmark = pytest.mark.soak  # a compiler for C++ runs for many seconds


def make_classification() -> tuple[Any, Callable[[Any], Tensor]]:
    torch.manual_seed(0)
    model = Classifier(create_backbone("vit_pico", checkpoint="random", num_classes=5).model, label_smoothing=0.1)
    images, labels = make_batch(4)[0], torch.arange(4)
    return model, lambda compiled: compiled(images, labels, labels, mode="loss")["loss"]


def make_mae() -> tuple[Any, Callable[[Any], Tensor]]:
    images, seeds = make_batch(4)
    return make_method("mae", "vit_pico"), lambda compiled: sum(compiled(images=images, seeds=seeds).values())


@pytest.mark.parametrize("make", [make_classification, make_mae])
def test_compiled_training_has_equal_losses(make: Callable[[], tuple[Any, Callable[[Any], Tensor]]]) -> None:
    """Two losses: the second one shows that the gradients and the step of the first were equal, too."""
    model, compute_loss = make()
    twin = copy.deepcopy(model)
    losses: list[list[float]] = []
    for each, run in ((model, model), (twin, torch.compile(twin))):
        each.train()
        # plain descent: Adam divides by the gradient's size, so that rounding of tiny gradients would count
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        losses.append([])
        for _ in range(2):
            loss = compute_loss(run)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses[-1].append(float(loss.detach()))
    plain, compiled = losses
    assert abs(plain[0] - plain[1]) > 1e-3, "the step changed the loss"
    assert compiled == pytest.approx(plain, rel=1e-5)
