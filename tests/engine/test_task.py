"""A run's backbone: made once, equal to one made anew, random numbers included."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import backbones.build_model
from backbones.registry import get_card
from backbones.weights import locate_weights
from engine.seeding import derive_seed, seed_all
from engine.task import RunRequest

ARGUMENTS = {"img_size": 32, "num_classes": 10, "drop_path_rate": 0.1}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The architectures that timm was asked for."""
    found: list[str] = []
    create = backbones.build_model.timm.create_model

    def count(architecture: str, *words: Any, **arguments: Any) -> Any:
        found.append(architecture)
        return create(architecture, *words, **arguments)

    monkeypatch.setattr(backbones.build_model.timm, "create_model", count)
    return found


def make_request(seed: int = 5) -> RunRequest:
    card = get_card("vit_pico")
    return RunRequest(card, locate_weights(card, None), "knn", "smoke", seed, (), Path("data"), "cpu")


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def are_equal(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def test_one_made_ahead_is_as_one_made_now(made: list[str]) -> None:
    seed_all(derive_seed(5, 0))  # as every task did by itself
    plain = backbones.create.create_backbone("vit_pico", **ARGUMENTS).model
    expected = draw()
    now = make_request().build_backbone(ARGUMENTS).model
    assert are_equal(now, plain) and draw() == expected
    request = make_request()
    prepared = request.prepare_backbone(ARGUMENTS)
    assert request.prepare_backbone(dict(ARGUMENTS)) is prepared
    seed_all(99)
    draw()
    assert request.build_backbone(ARGUMENTS) is prepared
    assert draw() == expected
    assert are_equal(prepared.model, plain)
    assert len(made) == 3


def test_it_is_given_away_once(made: list[str]) -> None:
    request = make_request()
    first = request.prepare_backbone(ARGUMENTS)
    copied = replace(request, device="cuda")  # as when the device is settled
    assert copied.build_backbone(ARGUMENTS) is first
    nn.init.zeros_(first.model.pos_embed)  # trained
    for again in (request, copied):
        second = again.build_backbone(ARGUMENTS)
        assert second is not first and not are_equal(second.model, first.model)
        assert draw() == [*draw_after_making()]
    assert len(made) == 5


def draw_after_making() -> list[float]:
    make_request().build_backbone(ARGUMENTS)
    return draw()


def test_other_arguments_make_another(made: list[str]) -> None:
    request = make_request()
    request.prepare_backbone(ARGUMENTS)
    other = request.build_backbone({**ARGUMENTS, "num_classes": 3}).model
    assert other.num_classes == 3
    assert request.build_backbone(ARGUMENTS).model.num_classes == 10
    assert len(made) == 2


def test_requests_share_nothing_by_accident() -> None:
    first, second = make_request(1), make_request(1)
    assert first == second, "what was made ahead is no part of what was asked for"
    first.prepare_backbone(ARGUMENTS)
    assert second.prepared.created is None
    assert not are_equal(first.build_backbone(ARGUMENTS).model, make_request(2).build_backbone(ARGUMENTS).model)
