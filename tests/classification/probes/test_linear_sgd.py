"""The probe by LARS or SGD: its step against other implementations, heads together as alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from timm.optim import Lars
from torch import nn

from classification.probes import linear_sgd as module
from classification.probes.linear_sgd import (
    LinearHeads,
    compute_head_gradients,
    get_lr_factor,
    select_head,
    train_heads,
    update_heads,
)
from classification.recipe import HeadOptimizerConfig, LinearSgdRecipe, LogGrid
from engine.config import load_protocol
from engine.seeding import derive_seed
from foundation.errors import BenchError, ConfigError

CONFIG = Path(__file__).parents[3] / "classification" / "configs" / "digits_linear_sgd.py"


def settings(**changes: Any) -> HeadOptimizerConfig:
    base = {"name": "LARS", "lr": LogGrid(low=1.0, high=1.0, count=1), "batch_size": 64, "epochs": 12, "warmup": 2}
    return HeadOptimizerConfig(**(base | changes))


def clouds(n: int = 230, width: int = 12, classes: int = 5) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, n)
    centres = random.normal(size=(classes, width))
    return (centres[labels] * 2 + random.normal(size=(n, width)) + 3).astype(np.float32), labels


class ReferenceLars:
    """LARS from the formulas of You et al. 2017 as MAE has them, in numpy and float64: one weight, one bias."""

    def __init__(self, weight: Any, bias: Any, momentum: float, decay: float, trust: float) -> None:
        self.weight, self.bias = weight.copy(), bias.copy()
        self.momentum, self.decay, self.trust = momentum, decay, trust
        self.speed = [np.zeros_like(weight), np.zeros_like(bias)]

    def step(self, rate: float, slope: Any, slope_bias: Any) -> None:
        slope = slope + self.decay * self.weight
        size, steep = np.sqrt((self.weight**2).sum()), np.sqrt((slope**2).sum())
        local = self.trust * size / steep if size > 0 and steep > 0 else 1.0
        self.speed[0] = self.momentum * self.speed[0] + local * slope
        self.speed[1] = self.momentum * self.speed[1] + slope_bias
        self.weight -= rate * self.speed[0]
        self.bias -= rate * self.speed[1]


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_lars_against_the_formulas(decay: float) -> None:
    """Three heads, one of them all zeros: its first step is not adapted."""
    random = np.random.default_rng(1)
    weights = random.normal(size=(3, 4, 6))
    weights[2] = 0
    biases = np.zeros((3, 4))
    optimizer = settings(weight_decay=decay, trust=0.02)
    ours = [torch.tensor(weights), torch.tensor(biases)]
    moments = [torch.zeros_like(each) for each in ours]
    theirs = [ReferenceLars(weights[head], biases[head], 0.9, decay, 0.02) for head in range(3)]
    for step in range(10):
        slope, slope_bias = random.normal(size=weights.shape), random.normal(size=biases.shape)
        rates = np.array([0.1, 1.0, 3.0]) * (step + 1) / 10
        update_heads(ours[0], moments[0], torch.tensor(slope), torch.tensor(rates), optimizer, use_lars=True)
        update_heads(ours[1], moments[1], torch.tensor(slope_bias), torch.tensor(rates), optimizer, use_lars=False)
        for head, each in enumerate(theirs):
            each.step(rates[head], slope[head], slope_bias[head])
    for head, each in enumerate(theirs):
        np.testing.assert_allclose(ours[0][head], each.weight, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(ours[1][head], each.bias, rtol=1e-6, atol=1e-9)


def one_by_one(values: Any, labels: Any, optimizer: HeadOptimizerConfig, rate: float, seed: int) -> tuple[Any, Any]:
    """The same training with autograd, nn.Linear and a library's optimiser, a head alone."""
    batch = optimizer.get_batch_size_for(len(values))
    random = torch.Generator().manual_seed(derive_seed(seed, 1))
    head = nn.Linear(values.shape[1], int(labels.max()) + 1)
    nn.init.trunc_normal_(head.weight, std=0.01, generator=random)
    nn.init.zeros_(head.bias)
    if optimizer.name == "LARS":  # timm adapts only groups with decay, unless told; biases are not adapted
        groups = [{"params": [head.weight], "always_adapt": True}, {"params": [head.bias]}]
        theirs: Any = Lars(groups, lr=1.0, momentum=0.9, trust_coeff=optimizer.trust)
    else:
        theirs = torch.optim.SGD(head.parameters(), lr=1.0, momentum=0.9)
    steps = len(values) // batch
    for epoch in range(optimizer.epochs):
        order = torch.randperm(len(values), generator=random)
        for step in range(steps):
            rows = torch.from_numpy(values)[order[step * batch : (step + 1) * batch]]
            truth = torch.from_numpy(labels)[order[step * batch : (step + 1) * batch]]
            inputs = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + 1e-6).sqrt()
            for group in theirs.param_groups:
                group["lr"] = (
                    rate * batch / 256 * get_lr_factor(epoch + step / steps, optimizer.epochs, optimizer.warmup)
                )
            theirs.zero_grad()
            nn.functional.cross_entropy(head(inputs), truth).backward()  # type: ignore[no-untyped-call]
            theirs.step()
    return head.weight.detach(), head.bias.detach()


@pytest.mark.parametrize(("name", "rates"), [("LARS", [0.5, 5.0, 20.0]), ("SGD", [0.01, 0.1, 1.0])])
def test_heads_together_equal_each_alone_by_other_libraries(name: str, rates: list[float]) -> None:
    values, labels = clouds()
    optimizer = settings(name=name)
    heads = train_heads(values, labels, optimizer, rates, seed=3)
    for head, rate in enumerate(rates):
        weight, bias = one_by_one(values, labels, optimizer, rate, 3)
        torch.testing.assert_close(heads.weights[head], weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(heads.biases[head], bias, rtol=1e-4, atol=1e-5)
        alone = train_heads(values, labels, optimizer, [rate], seed=3)
        torch.testing.assert_close(heads.weights[head], alone.weights[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            heads.compute_logits(head, values), alone.compute_logits(0, values), rtol=1e-5, atol=1e-5
        )
    assert not torch.allclose(heads.weights[0], heads.weights[1])


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_gradients_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 4, 6, generator=random, requires_grad=True)
    biases = torch.randn(3, 4, generator=random, requires_grad=True)
    inputs, labels = torch.randn(50, 6, generator=random), torch.arange(50) % 4
    logits = torch.einsum("nc,hkc->nhk", inputs, weights) + biases
    for head in range(3):
        nn.functional.cross_entropy(logits[:, head], labels).backward(retain_graph=True)  # type: ignore[no-untyped-call]
    monkeypatch.setattr(module, "MAX_LOGITS", block * 12)
    found = compute_head_gradients(weights.detach(), biases.detach(), inputs, labels)
    torch.testing.assert_close(found[0], weights.grad)
    torch.testing.assert_close(found[1], biases.grad)


def test_evaluation_uses_the_statistics_of_train() -> None:
    values, labels = clouds(256)
    norm = train_heads(values, labels, settings(batch_size=64), [1.0], seed=0).norm
    np.testing.assert_allclose(norm.running_mean, values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, values.var(0), rtol=0.05)
    whole = train_heads(values, labels, settings(batch_size=9999), [1.0], seed=0).norm
    np.testing.assert_allclose(whole.running_var, values.var(0, ddof=1), rtol=1e-5)


def test_the_seed_decides() -> None:
    values, labels = clouds()
    first, again, other = (train_heads(values, labels, settings(), [1.0], seed) for seed in (0, 0, 1))
    assert torch.equal(first.weights, again.weights)
    assert not torch.allclose(first.weights, other.weights)


def test_rule_of_the_rate_goes_by_the_batch_that_there_is() -> None:
    values, labels = clouds(128)
    capped, exact = (train_heads(values, labels, settings(batch_size=size), [1.0], 0) for size in (16384, 128))
    assert torch.equal(capped.weights, exact.weights)
    assert settings(batch_size=16384).get_batch_size_for(128) == 128


def test_a_head_that_diverged_is_never_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    values, labels = clouds()
    heads = train_heads(values, labels, settings(name="SGD"), [0.1, 1e39], seed=0)
    assert select_head(heads, values, labels)[0] == 0
    assert "1 of 2 rates diverged" in capsys.readouterr().err
    lost = LinearHeads(heads.weights[1:] * float("nan"), heads.biases[1:], heads.norm)
    with pytest.raises(BenchError, match=r"diverged at every rate; lower optimizer\.lr\.low"):
        select_head(lost, values, labels)


def test_ties_go_to_the_lower_rate() -> None:
    values, labels = clouds()
    heads = train_heads(values, labels, settings(name="SGD"), [0.1, 0.1, 0.1], seed=0)
    assert select_head(heads, values, labels)[0] == 0


def test_recipe() -> None:
    recipe = load_protocol(CONFIG, LinearSgdRecipe, "full").recipe
    assert len(recipe.optimizer.lr.values()) == 40
    assert set(recipe.non_identity_settings()) == {"batch_size", "workers"}
    with pytest.raises(ConfigError, match="warmup 90 must be below epochs 90"):
        load_protocol(CONFIG, LinearSgdRecipe, "full", ["optimizer.warmup=90"])
