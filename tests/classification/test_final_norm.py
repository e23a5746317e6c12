"""The final norm of a Swin or a Hiera starts anew where a protocol says so, as in MAE-Lite's fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from backbones.create import create_backbone
from backbones.registry import get_card
from classification import finetune
from classification.digits_task import DIGITS
from classification.final_norm import NORM_NOTE
from classification.model import Classifier
from classification.recipe import DigitsRecipe
from engine.task import RunPlan
from tests.classification.probes.frozen_features import make_request

SMALL: dict[str, Any] = {
    "swin_lite": {"img_size": 32, "embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1)},
    "hiera_lite": {"img_size": 64, "embed_dim": 8, "stages": (1, 1, 1, 1)},
    "vit_pico": {"img_size": 32},
}


@pytest.mark.parametrize(("name", "norm"), [("swin_lite", "norm"), ("hiera_lite", "head.norm"), ("vit_pico", "norm")])
@pytest.mark.parametrize("fresh", [False, True])
def test_the_norm_starts_anew(
    name: str, norm: str, fresh: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All weights of the file's norm are 3; the norm of a plain ViT's tokens is not touched."""
    card = replace(get_card(name), arguments=SMALL[name])
    state = create_backbone(card, checkpoint="random", num_classes=0).model.state_dict()
    for part in ("weight", "bias"):
        state[f"{norm}.{part}"].fill_(3)
    torch.save(state, tmp_path / "w.pth")
    jobs: list[Any] = []
    monkeypatch.setattr(finetune, "train_model", jobs.append)
    settings = {"epochs": 1, "batch_size": 2, "img_size": 32, "loggers": [], "schedule": {"name": "cosine"}}
    recipe = DigitsRecipe.model_validate({**settings, "optimizer": {"name": "AdamW", "lr": 1e-3}, "fresh_norm": fresh})
    assert ("fresh_norm" in recipe.identity_settings()) == fresh, "earlier ids stay"
    trial = finetune._train_trial(
        "", recipe, "", request=replace(make_request(checkpoint=str(tmp_path / "w.pth")), card=card),
        plan=RunPlan(1, {}, {}, {"num_classes": 3}, 1, ()),
        splits=finetune.SplitDatasets([], [], [], [], ""), run_folder=tmp_path, task=DIGITS,
        build=Classifier.from_recipe,
    )  # fmt: skip
    found = jobs[0].model.backbone.get_submodule(norm)
    started = fresh and name != "vit_pico"
    assert set(found.weight.tolist()) == {1.0 if started else 3.0}
    assert set(found.bias.tolist()) == {0.0 if started else 3.0}
    assert trial.created.load_report is not None
    assert (NORM_NOTE in trial.created.load_report.notes) == started
