"""The weights a training is given are the weights it starts from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from backbones.create import create_backbone
from classification.metrics import PerItemAccuracy
from classification.model import Classifier
from engine.checkpoints import InitialWeightsHook
from engine.training import TrainingJob, train_model
from foundation.errors import BenchError
from tests.engine.make import make_recipe


class Few:
    """Eight random images of two classes."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        return {"images": torch.randn(3, 32, 32, generator=generator), "labels": index % 2, "item": index}


def test_a_rate_of_nearly_zero_leaves_the_given_weights(tmp_path: Path) -> None:
    """mmengine's Runner calls ``init_weights``, which timm's ViT has: without our care they would be lost."""
    backbone = create_backbone("vit_pico", num_classes=2).model
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.copy_(torch.linspace(-0.05, 0.05, parameter.numel()).reshape(parameter.shape))
    given = {name: value.clone() for name, value in backbone.state_dict().items()}
    still = {"name": "SGD", "lr": 1e-12, "momentum": 0.0, "nesterov": False}
    chosen = make_recipe(epochs=1, optimizer=still, schedule={"name": "cosine"}, loggers=[])
    job = TrainingJob(
        label="test",
        folder=tmp_path,
        model=Classifier(backbone),
        train_dataset=Few(),
        val_dataset=Few(),
        test_dataset=Few(),
        build_metric=PerItemAccuracy,
        selection_metric="accuracy/top1",
        metric_unit="%",
        higher_is_better=True,
        recipe=chosen,
        seed=0,
        device="cpu",
    )
    trained = train_model(job)
    after = torch.load(trained.weights_path, weights_only=True)["state_dict"]
    for name, value in given.items():
        assert torch.allclose(after[f"backbone.{name}"], value, atol=1e-7), name


def test_the_guard_stops_a_run_whose_weights_were_changed() -> None:
    model = nn.Linear(2, 2)
    guard = InitialWeightsHook(model)
    runner: Any = SimpleNamespace(model=model)
    guard.before_train(runner)
    nn.init.normal_(model.weight)
    with pytest.raises(BenchError, match=r"1 tensors were changed before the first step \(weight"):
        guard.before_train(runner)
