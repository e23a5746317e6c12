"""The fine-tuning recipes of the papers against numbers worked out by hand from their text and formulas."""

from __future__ import annotations

from math import cos, pi
from pathlib import Path

import pytest

from classification.recipe import ImageRecipe
from engine.config import load_protocol
from engine.lr_schedule import count_steps_per_epoch
from tests.engine.test_lr_schedule import trajectory

CONFIGS = Path(__file__).parents[2] / "classification" / "configs"


def load(name: str, tier: str = "full", *words: str) -> ImageRecipe:
    return load_protocol(CONFIGS / f"{name}_finetune.py", ImageRecipe, tier, ["loggers=[]", *words]).recipe


# floor(images / 512): the authors' loader drops the last batch
@pytest.mark.parametrize(
    ("name", "images", "steps"),
    [
        ("flowers", 1020 + 1020, 3),
        ("pets", 3680, 7),
        ("aircraft", 3334 + 3333, 13),
        ("cars", 8144, 15),
        ("cifar100", 50_000, 97),
        ("cifar10", 50_000, 97),
    ],
)
def test_steps_of_an_epoch(name: str, images: int, steps: int) -> None:
    assert count_steps_per_epoch(load(name), images) == steps


def test_a_set_that_is_smaller_than_a_batch_is_one_step() -> None:
    for images in (1, 40, 511, 512, 1023):
        assert count_steps_per_epoch(load("images"), images) == 1
    assert count_steps_per_epoch(load("images"), 1024) == 2


@pytest.mark.parametrize("name", ["flowers", "pets", "aircraft", "cars", "cifar100", "images", "inat18", "imagenet"])
def test_the_rate_of_every_step(name: str) -> None:
    """Warm-up: start + (peak - start) t / w. Then end + (peak - end) (1 + cos(pi (t - w) / (T - w))) / 2."""
    recipe, steps = load(name, "full", "epochs=9", "schedule.warmup=3"), 7  # the steps of ``trajectory``
    peak, end, warmup, total = recipe.optimizer.lr, 1e-6, 3 * steps, 9 * steps
    decay = recipe.optimizer.layer_decay**13
    for step, rates in enumerate(trajectory(recipe, (1.0, decay))):
        rate = peak * step / warmup
        if step >= warmup:
            rate = end + (peak - end) * (1 + cos(pi * (step - warmup) / (total - warmup))) / 2
        # mmengine cannot start at 0, but at 1e-8 of the rate
        assert rates[:2] == pytest.approx([rate, decay * rate], rel=3e-6, abs=1.1e-8 * peak), step


@pytest.mark.parametrize(
    ("name", "per_image", "batch"),
    [
        ("imagenet", 1e-3 / 256, 1024),
        ("imagenet", 1e-3 / 256, 64),
        ("inat18", 1e-3 / 256, 1024),
        ("inat18", 1e-3 / 256, 64),
        ("flowers", 0.03 / 512, 512),
        ("flowers", 0.03 / 512, 128),
        ("images", 0.03 / 512, 32),
        ("cifar100", 0.1 / 512, 256),
    ],
)
def test_the_rate_is_given_per_image(name: str, per_image: float, batch: int) -> None:
    assert load(name, "full", f"batch_size={batch}").optimizer.lr == pytest.approx(per_image * batch, rel=1e-11)


def test_searched_rates_follow_too() -> None:
    assert load("pets", "full", "batch_size=256").search.lr == [0.005, 0.015, 0.05]


def test_short_trainings_keep_their_rates() -> None:
    """They were chosen on val (Flowers), above what the rule gives for their batch."""
    rates = {name: load(name, "short").optimizer.lr for name in ("flowers", "pets", "images", "cifar100")}
    assert set(rates.values()) == {0.1}
