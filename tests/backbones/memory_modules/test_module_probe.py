"""What a module computes is in its digest, wherever the cause is kept; what it does not compute is not."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from backbones.memory_modules.module_probe import hash_behavior

SIZE = (3, 32, 32)
FLOOR = 0.0


def make_vit() -> nn.Module:
    """A small timm model with fixed weights."""
    torch.manual_seed(0)
    model: nn.Module = timm.create_model("test_vit", img_size=32, num_classes=3)
    return model


class WithFloor(nn.Module):
    """Values below a floor, which three places can hold, are lifted to it."""

    def __init__(self, inner: nn.Module, config: Any = None, drop: float = 0.0) -> None:
        super().__init__()
        self.inner, self.config, self.drop = inner, config or SimpleNamespace(floor=0.0), nn.Dropout(drop)

    def forward_features(self, images: Tensor) -> Tensor:
        found: Tensor = self.inner.forward_features(images)  # type: ignore[operator]
        return self.drop(found.clamp(min=max(self.config.floor, FLOOR)))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_features(images).mean(1)


def test_the_same_module_gives_the_same_digest_on_any_number_of_threads() -> None:
    model = make_vit()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    digests, threads = set(), torch.get_num_threads()
    state = torch.random.get_rng_state()
    for count in (1, 2):
        torch.set_num_threads(count)
        digests.add(hash_behavior(model, SIZE))
    torch.set_num_threads(threads)
    digests.add(hash_behavior(copy.deepcopy(model).eval(), SIZE))
    assert len(digests) == 1
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's random numbers are used up"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_object_among_the_attributes_counts() -> None:
    low, high = (WithFloor(make_vit(), SimpleNamespace(floor=floor)) for floor in (0.0, 0.9))
    assert hash_behavior(low, SIZE) != hash_behavior(high, SIZE)


def test_a_constant_of_the_file_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    module = WithFloor(make_vit())
    before = hash_behavior(module, SIZE)
    monkeypatch.setattr("tests.backbones.memory_modules.test_module_probe.FLOOR", 0.9)
    assert hash_behavior(module, SIZE) != before


def test_what_acts_in_training_only_counts() -> None:
    assert hash_behavior(WithFloor(make_vit(), drop=0.1), SIZE) != hash_behavior(WithFloor(make_vit()), SIZE)


def test_batch_norm_statistics_stay_as_they_are() -> None:
    model: nn.Module = timm.create_model("test_efficientnet", num_classes=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hash_behavior(model.train(), SIZE)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_module_that_cannot_take_doubles_is_probed_in_float32() -> None:
    class Casts(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.scale = scale

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(self.scale * images.float())  # of two types, if the layer is in double precision

    def make(scale: float) -> nn.Module:
        torch.manual_seed(0)
        return Casts(scale)

    assert hash_behavior(make(1.0), (1, 4, 4)) == hash_behavior(make(1.0), (1, 4, 4))
    assert hash_behavior(make(1.0), (1, 4, 4)) != hash_behavior(make(1.1), (1, 4, 4))


def test_a_module_that_fails_is_left_to_the_run() -> None:
    class Fails(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise ValueError("not today")

    assert hash_behavior(Fails(), SIZE) == hash_behavior(Fails(), SIZE)
