"""Rates that follow the batch size: rate = given rate x batch size / batch size for which it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from classification.recipe import ImageRecipe
from engine.config import ResolvedProtocol, load_protocol
from engine.settings.scaled_rates import describe_scaled_rates
from foundation.errors import ConfigError

FILE = """
version = 3
source = "made up"
recipe = {
    "epochs": 10,
    "batch_size": 512,
    "img_size": 32,
    "optimizer": {"name": "SGD", "lr": 0.03},
    "schedule": {"name": "cosine", "warmup": 2, "warmup_start": 1e-4, "end_lr": 1e-6},
    "search": {"lr": [0.01, 0.1], "layer_decay": [0.75]},
}
RULE
tiers = {
    "smoke": {"batch_size": 32},
    "short": {"batch_size": 64, "optimizer.lr": 0.2},
}
"""

RULE = 'scaled_with_batch = ["optimizer.lr", "search.lr", "schedule.warmup_start"]'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "protocol.py"
    path.write_text(FILE.replace("RULE", RULE))
    return path


def load(file: Path, tier: str = "full", *words: str) -> ResolvedProtocol[ImageRecipe]:
    return load_protocol(file, ImageRecipe, tier, ["loggers=[]", *words])


def read_rates(file: Path, tier: str = "full", *words: str) -> tuple[float, list[float], float]:
    recipe = load(file, tier, *words).recipe
    return recipe.optimizer.lr, recipe.search.lr, recipe.schedule.warmup_start


def test_the_file_as_it_is(file: Path) -> None:
    found = load(file)
    assert read_rates(file) == (0.03, [0.01, 0.1], 1e-4)
    assert (found.rate_settings[0], found.scaled_settings) == ("optimizer.lr", ())
    assert read_rates(file, "full", "batch_size=512") == (0.03, [0.01, 0.1], 1e-4)


def test_rates_follow_the_batch_of_the_user_and_of_the_tier(file: Path) -> None:
    assert read_rates(file, "full", "batch_size=128") == (0.0075, [0.0025, 0.025], 2.5e-5)
    assert read_rates(file, "full", "batch_size=1024") == (0.06, [0.02, 0.2], 2e-4)
    assert read_rates(file, "smoke") == (0.001875, [0.000625, 0.00625], 6.25e-6)
    assert read_rates(file, "smoke", "batch_size=512") == read_rates(file), "from 512, without rounding on the way"
    assert load(file, "full", "batch_size=128").recipe.schedule.end_lr == 1e-6, "no rate of the rule"


def test_a_rate_that_is_given_is_taken_as_it_is(file: Path) -> None:
    given = ("batch_size=128", "search.lr=[0.01,0.1]")
    for words in (given, given[::-1]):  # whichever word comes first
        assert read_rates(file, "full", *words) == (0.0075, [0.01, 0.1], 2.5e-5)
    assert read_rates(file, "full", "batch_size=128", "search.lr=[]", "optimizer.lr=0.03") == (0.03, [], 2.5e-5)
    assert read_rates(file, "smoke", "search.lr=[]", "optimizer.lr=0.5")[0] == 0.5
    assert read_rates(file, "full", "batch_size=128", "search.lr=[]")[1] == []


def test_a_rate_of_the_tier_is_for_the_batch_of_the_tier(file: Path) -> None:
    assert read_rates(file, "short") == (0.2, [0.00125, 0.0125], 1.25e-5)
    assert read_rates(file, "short", "batch_size=16")[0] == 0.05, "0.2 x 16 / 64"
    assert read_rates(file, "short", "batch_size=512")[0] == 1.6
    assert load(file, "short").scaled_settings == ("search.lr", "schedule.warmup_start")


def test_without_a_rule_nothing_follows(tmp_path: Path) -> None:
    path = tmp_path / "protocol.py"
    path.write_text(FILE.replace("RULE", ""))
    assert read_rates(path, "full", "batch_size=128") == (0.03, [0.01, 0.1], 1e-4)
    assert load(path, "smoke").scaled_rates == ()


def test_the_rate_that_is_said_gives_the_same_settings_again(file: Path) -> None:
    """Also where batch / 512 has many digits: what a run prints can be typed."""
    for batch in (1, 3, 48, 100, 511, 4095, 2**24):
        found = load(file, "full", f"batch_size={batch}")
        (sentence,) = describe_scaled_rates(found.scaled_rates)
        said = [f"{rate.name}={rate.value}" for rate in found.scaled_rates]
        assert all(word in sentence for word in said)
        again = load(file, "full", f"batch_size={batch}", *said)
        assert (again.recipe, again.scaled_settings) == (found.recipe, ())


@pytest.mark.parametrize("batch", ["0", "-4", "1.5", "none", "true", "many", "[8]", "99999999"])
def test_a_batch_that_cannot_be_is_the_only_fault(file: Path, batch: str) -> None:
    with pytest.raises(ConfigError, match=r"\(--set\): batch_size: ") as caught:
        load(file, "full", f"batch_size={batch}")
    assert "optimizer" not in str(caught.value)


def test_a_warm_up_that_starts_above_the_scaled_rate_is_refused(file: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"warmup_start 0\.01 must not be above .*0\.0075.*lr=0\.0075 \(0\.03 for 512\)"
    ):
        load(file, "full", "batch_size=128", "schedule.warmup_start=0.01")
    with pytest.raises(ConfigError, match=r"label_smoothing: .* not 2") as caught:
        load(file, "full", "batch_size=128", "label_smoothing=2")
    assert "by the rule" not in str(caught.value), "no rate is at fault"


def list_rules() -> list[Any]:
    from tests.wrong_numbers.pinning.recipes import list_config_files

    rooms = ("classification", "pretraining", "segmentation", "tracking")
    return [pytest.param(file, id=name) for room in rooms for name, file in list_config_files(room).items()]


@pytest.mark.parametrize("file", list_rules())
def test_the_rules_name_rates_of_their_recipe(file: Path) -> None:
    from mmengine.config import Config

    content = Config.fromfile(file, lazy_import=False).to_dict()
    for name in content.get("scaled_with_batch", ()):
        group, _, setting = name.partition(".")
        assert setting in content["recipe"][group], "a default is for no batch size"
        assert (group, setting) in {("optimizer", "lr"), ("search", "lr"), ("schedule", "warmup_start")}
