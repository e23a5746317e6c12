"""MoCo-v3 against its formulas written out, and its keys over several processes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from engine.config import load_protocol
from engine.optimizer import group_by_depth
from foundation.errors import UserError
from pretraining.methods.infonce_loss import cosine_momentum, infonce_loss
from pretraining.recipe import MocoRecipe
from pretraining.task import CONFIG_DIR
from tests.engine.processes.start import collect_findings
from tests.pretraining.make import make_batch, make_method

SMALL = {"hidden_dim": 32, "out_dim": 16}


@pytest.fixture
def moco() -> Any:
    return make_method("mocov3", **SMALL)


def written_out(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> float:
    """The loss of arXiv 2104.02057, pair by pair."""
    total = 0.0
    for own, query in enumerate(queries.detach()):
        similar = [float(query @ key / query.norm() / key.norm()) / temperature for key in keys]
        total += math.log(sum(math.exp(value) for value in similar)) - similar[own]
    return 2 * temperature * total / len(queries)


def test_contrast_is_written_out() -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(5, 8), torch.randn(5, 8)
    for temperature in (0.2, 1.0):
        assert float(infonce_loss(queries, keys, temperature)) == pytest.approx(
            written_out(queries, keys, temperature), rel=1e-5
        )


def test_loss_is_symmetric(moco: Any) -> None:
    """Queries of each crop against the momentum branch's keys of the other."""
    first, seeds = make_batch(4)
    second = torch.randn(4, 3, 32, 32)
    moco.eval()  # batch norms with fixed statistics, so that both ways see the same
    q = [moco.predictor(moco.projector(moco.backbone.forward_features(view)[:, 0])) for view in (first, second)]
    k = [moco.momentum_projector(moco.momentum_encoder.forward_features(view)[:, 0]) for view in (first, second)]
    expected = written_out(q[0], k[1], 0.2) + written_out(q[1], k[0], 0.2)
    found = moco(images=first, second_images=second, seeds=seeds)
    assert float(found["loss_contrast"].detach()) == pytest.approx(expected, rel=1e-5)
    found["loss_contrast"].backward()
    assert not [name for name, value in moco.named_parameters() if value.requires_grad and value.grad is None]
    assert all(value.grad is None for name, value in moco.named_parameters() if name.startswith("momentum"))


@pytest.mark.parametrize(("progress", "value"), [(0.0, 0.99), (0.5, 0.995), (1.0, 1.0)])
def test_momentum_at_start_half_and_end(moco: Any, progress: float, value: float) -> None:
    assert cosine_momentum(0.99, progress) == pytest.approx(value, abs=1e-12)
    with torch.no_grad():
        for parameter in (*moco.backbone.parameters(), *moco.projector.parameters()):
            parameter.add_(1.0)
    before = [each.clone() for each in moco.momentum_projector.parameters()]
    moco.before_step(progress)
    for old, now in zip(before, moco.momentum_projector.parameters(), strict=True):
        torch.testing.assert_close(now, old + (1 - value), rtol=0, atol=2e-7)


def test_heads_are_the_papers(moco: Any) -> None:
    """Projector of three layers, predictor of two, no biases, the last norm without parameters."""
    for head, widths in ((moco.projector, [64, 32, 32, 16]), (moco.predictor, [16, 32, 16])):
        linear = [part for part in head if isinstance(part, nn.Linear)]
        norms = [part for part in head if isinstance(part, nn.BatchNorm1d)]
        assert [part.in_features for part in linear] + [linear[-1].out_features] == widths
        assert all(part.bias is None for part in linear)
        assert [part.affine for part in norms] == [True] * (len(norms) - 1) + [False]
        assert sum(isinstance(part, nn.ReLU) for part in head) == len(linear) - 1
    assert not moco.backbone.pos_embed.requires_grad


def test_start_is_the_authors(moco: Any) -> None:
    """Uniform up to sqrt(6 / (fan-in + fan-out)), q, k and v as three layers; no bias, no class token, fixed places."""
    limits = {"qkv": (64, 64), "proj": (64, 64), "fc1": (64, 256), "fc2": (256, 64), "patch_embed": (3 * 8 * 8, 64)}
    fixed = {name for name, value in moco.backbone.named_parameters() if not value.requires_grad}
    assert fixed == {"pos_embed"}
    for name, parameter in moco.backbone.named_parameters():
        value = parameter.detach()
        part = "patch_embed" if name.startswith("patch_embed") else name.split(".")[-2:][0]
        if part in limits and name.endswith("weight"):
            limit = math.sqrt(6 / sum(limits[part]))
            assert 0.97 * limit < float(value.abs().max()) <= limit
            # the standard deviation of a uniform distribution; 3,072 numbers or more
            assert float(value.std()) == pytest.approx(limit / math.sqrt(3), rel=0.05)
        elif name == "cls_token":
            assert 0 < float(value.abs().max()) < 5e-6
        elif name != "pos_embed":
            assert set(value.unique().tolist()) == ({1.0} if "norm" in name and name.endswith("weight") else {0.0})
    # row 1, column 2 of a grid of 4 x 4: the row in the first half of the channels, the column in the second
    places = moco.backbone.pos_embed[0, 1 + 4 + 2]
    quarter = [10000 ** (-channel / 16) for channel in range(16)]
    expected = [wave(place * value) for place in (1, 2) for wave in (math.sin, math.cos) for value in quarter]
    torch.testing.assert_close(places, torch.tensor(expected), rtol=0, atol=1e-6)
    assert not moco.backbone.pos_embed[0, 0].any()
    # the momentum branch starts as a copy
    for slow, fast in ((moco.momentum_encoder, moco.backbone), (moco.momentum_projector, moco.projector)):
        assert all(torch.equal(*pair) for pair in zip(slow.parameters(), fast.parameters(), strict=True))


def test_every_weight_decays(moco: Any) -> None:
    """The authors hand all parameters to AdamW in one group: biases, norms and the class token decay too."""
    config = load_protocol(CONFIG_DIR / "mocov3.py", MocoRecipe, "full")
    groups = group_by_depth(moco, config.recipe.optimizer)
    assert {group["weight_decay"] for group in groups} == {0.1}
    trained = {name for name, value in moco.named_parameters() if value.requires_grad}
    assert {name for group in groups for name in group["names"]} == trained
    assert {"backbone.cls_token", "backbone.norm.bias", "projector.1.weight"} <= trained


def test_what_cannot_be_is_a_sentence() -> None:
    with pytest.raises(UserError, match="cannot be split into micro-batches"):
        make_method("mocov3", accumulate=2, **SMALL)
    with pytest.raises(UserError, match="has no class token"):
        make_method("mocov3", arguments={"class_token": False, "global_pool": "avg"}, **SMALL)
    assert not make_method("mocov3", freeze_patch_embed=True, **SMALL).backbone.patch_embed.proj.weight.requires_grad


def find_all(out: Path) -> dict[str, Any]:
    """The weighted mean of the losses of two processes with two and four images."""
    del out
    torch.manual_seed(0)
    queries, keys = torch.randn(6, 8), torch.randn(6, 8)
    own = slice(0, 2) if dist.get_rank() == 0 else slice(2, 6)
    loss = infonce_loss(queries[own], keys[own], 0.2) * len(queries[own]) / 6
    dist.all_reduce(loss)
    return {"mean": float(loss)}


def test_keys_of_all_processes_are_compared(tmp_path: Path) -> None:
    """Two processes with two and four images have, in the weighted mean, the loss of the whole batch."""
    found, _ = collect_findings(__name__, tmp_path, 2)
    torch.manual_seed(0)
    expected = written_out(torch.randn(6, 8), torch.randn(6, 8), 0.2)
    assert found["mean"] == pytest.approx(expected, rel=1e-5)
