from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_protocol, parse_value
from engine.recipe import TrainingRecipe
from foundation.errors import ConfigError

FILE = """
version = 3
source = "made up"
recipe = {
    "epochs": 10,
    "batch_size": 8,
    "optimizer": {"name": "AdamW", "lr": 1e-2},
    "schedule": {"name": "cosine", "warmup": 2},
}
tiers = {"smoke": {"epochs": 3, "schedule.warmup": 1}, "short": {"epochs": 5}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "protocol.py"
    path.write_text(FILE)
    return path


def test_file_tier_and_override_in_that_order(file: Path) -> None:
    assert load_protocol(file, TrainingRecipe, "full").recipe.epochs == 10
    smoke = load_protocol(file, TrainingRecipe, "smoke")
    assert (smoke.version, smoke.recipe.epochs, smoke.recipe.schedule.warmup) == (3, 3, 1)
    assert load_protocol(file, TrainingRecipe, "smoke", ["epochs=4"]).recipe.epochs == 4


def test_overrides_reach_nested_keys_and_values_keep_their_type(file: Path) -> None:
    changed = load_protocol(file, TrainingRecipe, "full", ["optimizer.lr=5e-3", "clip_grad=none", "optimizer.name=SGD"])
    assert changed.recipe.optimizer.lr == 0.005
    assert changed.recipe.optimizer.name == "SGD"
    assert changed.recipe.clip_grad is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.lrr=1", r"unknown configuration key 'optimizer\.lrr'; did you mean optimizer\.lr"),
        ("epoch=1", r"unknown configuration key 'epoch'; did you mean epochs"),
        ("epochs=-3", r"epochs: Input should be greater than 0, not -3"),
        ("epochs=2.5", r"epochs: .*integer"),
        ("epochs", r"--set takes key=value, not 'epochs'"),
        ("=3", r"--set takes key=value"),
        ("optimizer=3", r"--set optimizer is a group; set one of optimizer\.name, optimizer\.lr"),
        ("precision=fp8", r"precision: Input should be 'fp32', 'fp16' or 'bf16', not 'fp8'"),
    ],
)
def test_a_wrong_override_is_one_sentence(file: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_protocol(file, TrainingRecipe, "full", [change])
    assert "\n" not in str(caught.value)


def test_literals() -> None:
    texts = ("1e-3", "1", "True", "null", "[1, 2]", "cosine", "'1'")
    assert [parse_value(text) for text in texts] == [0.001, 1, True, None, [1, 2], "cosine", "1"]
