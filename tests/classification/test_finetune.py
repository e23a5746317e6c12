"""Fine-tuning: what is chosen, on what, and what a batch is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.data import Mixup
from torch import nn
from torch.nn import functional

from classification.digits_task import DIGITS
from classification.finetune import ConcatDataset, SplitDatasets, run_finetune
from classification.model import Classifier
from classification.plan import expand_search
from classification.recipe import DigitsRecipe
from engine.data import digits as digits_data
from engine.task import TaskOutcome
from tests.classification.probes.frozen_features import make_request

TINY = ("epochs=2", "schedule.warmup=0", "loggers=[]")


def run(out: Path, *overrides: str, turn: int = 0) -> TaskOutcome:
    """Digits with 200 training images; every test label moved on by ``turn`` classes."""
    # a rate beside a search is refused
    rate = () if any(word.startswith("search.lr=") for word in overrides) else ("optimizer.lr=2e-3",)
    asked = make_request("finetune", overrides=(*TINY, *rate, *overrides))
    data = DIGITS.check_data(Path())
    plan = DIGITS.plan(asked, data)
    recipe = DigitsRecipe.model_validate({**plan.config["recipe"], **plan.non_identity_settings})
    digits = digits_data.load_digits_data()
    digits = digits._replace(splits={**digits.splits, "train": digits.splits["train"][::6]})
    turned = digits._replace(labels=(digits.labels + turn) % 10)
    items = {
        name: digits_data.DigitsDataset(source, split, 32, asked.card.mean, asked.card.std)
        for name, source, split in (
            ("train", digits, "train"),
            ("val", digits, "val"),
            ("test", turned, "test"),
            ("val_augmented", digits, "val"),
        )
    }
    return run_finetune(asked, plan, recipe, SplitDatasets(**items, fingerprint="f" * 64), out, DIGITS)


def test_shuffled_test_labels_change_no_choice_and_no_prediction(tmp_path: Path) -> None:
    search = ("search.lr=[5e-4,2e-3]",)
    first, turned = run(tmp_path / "a", *search), run(tmp_path / "b", *search, turn=3)
    assert turned.selection == first.selection
    assert [row[2] for row in turned.item_rows] == [row[2] for row in first.item_rows]
    assert turned.metrics["top1"].value != first.metrics["top1"].value


def test_search_takes_the_best_on_val(tmp_path: Path) -> None:
    outcome = run(tmp_path, "search.lr=[1e-7,2e-3]", "search.layer_decay=[0.75,1.0]")
    assert outcome.selection.split == "val"
    assert outcome.selection.chosen.startswith("lr0.002-decay"), "a rate of 1e-7 learns nothing"
    assert outcome.selection.candidates == 8, "two epochs of four trainings"
    assert sorted(child.name for child in tmp_path.iterdir()) == [
        "lr0.002-decay0.75", "lr0.002-decay1", "lr1e-07-decay0.75", "lr1e-07-decay1",
    ]  # fmt: skip


def test_training_on_train_and_val_chooses_nothing(tmp_path: Path) -> None:
    outcome = run(tmp_path, "train_on=train+val")
    assert outcome.selection.split == "none"
    assert outcome.selection.value is None
    weights = sorted(path.name for path in (tmp_path / "checkpoints").glob("[!s]*"))
    assert weights == ["last_00000001.pth", "last_00000002.pth"], "the first is there in case of a kill"
    assert outcome.selection.chosen.startswith("epoch 2, the last")


def test_a_search_before_training_on_train_and_val(tmp_path: Path) -> None:
    outcome = run(tmp_path, "train_on=train+val", "search.lr=[1e-7,2e-3]")
    assert outcome.selection.split == "val"
    assert outcome.selection.chosen == "lr0.002-decay1, epoch 2, the last, of a training on train and val"
    final = torch.load(tmp_path / "final" / "checkpoints" / "last_00000002.pth", weights_only=True)
    alone = torch.load(next((tmp_path / "lr0.002-decay1" / "checkpoints").glob("best_*")), weights_only=True)
    assert any(not torch.equal(final["state_dict"][name], value) for name, value in alone["state_dict"].items())


def test_both_are_the_items_of_two_splits() -> None:
    both: Any = ConcatDataset([["a", "b"], ["c"]])
    assert [both[index] for index in range(len(both))] == ["a", "b", "c"]


def test_without_a_search_there_is_one_candidate() -> None:
    recipe = DigitsRecipe.model_validate(
        DIGITS.plan(make_request("finetune"), DIGITS.check_data(Path())).config["recipe"]
    )
    assert list(expand_search(recipe)) == [("", recipe)]


class Echo(nn.Module):
    """Logits that are the mean colours of the image: what mixing does can be seen."""

    num_classes = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def test_mixup_mixes_images_and_labels_alike() -> None:
    """Each image is a pure colour of its class, so the mean colour after mixing is the share of each class."""
    labels = torch.tensor([0, 1, 2, 1])
    images = functional.one_hot(labels, 3).float()[:, :, None, None].expand(-1, -1, 8, 8).contiguous()
    seen: list[torch.Tensor] = []

    class Spy(Echo):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(super().forward(images))
            return seen[-1]

    model = Classifier(Spy(), mixup=Mixup(mixup_alpha=0.8, num_classes=3, label_smoothing=0.0))
    loss = model(images.clone(), labels, labels, mode="loss")["loss"]
    shares = seen[0]
    assert torch.allclose(shares.sum(1), torch.ones(4), atol=1e-6)
    expected = -(shares * shares.log_softmax(1)).sum(1).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert shares.max() < 1, "something was mixed"


def test_mixup_draws_from_the_models_generator_alone() -> None:
    """Else the number of loader processes would change the number."""
    labels = torch.tensor([0, 1])
    model = Classifier(Echo(), mixup=Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=3))
    losses = []
    for noise in (0, 1):
        torch.manual_seed(5)
        np.random.seed(noise)
        images = torch.arange(2 * 3 * 64.0).reshape(2, 3, 8, 8) / 100
        losses.append(model(images, labels, labels, mode="loss")["loss"].item())
    assert losses[0] == losses[1]


def test_label_smoothing_is_of_the_loss() -> None:
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 1])
    smooth = Classifier(Echo(), 0.1)(images, labels, labels, mode="loss")["loss"]
    logs = Echo()(images).log_softmax(1)
    shares = 0.9 * functional.one_hot(labels, 3) + 0.1 / 3
    assert smooth.item() == pytest.approx(-(shares * logs).sum(1).mean().item(), abs=1e-6)
