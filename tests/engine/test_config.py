from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from classification.recipe import DistillRecipe, ImageRecipe
from engine.config import load_protocol
from engine.recipe import StrictConfig, TrainingRecipe
from engine.settings.setting_text import parse_value
from foundation.errors import ConfigError
from pretraining.recipe import DistillRecipe as MaskedDistillRecipe
from pretraining.recipe import SimmimRecipe
from results.records.renamed_settings import RENAMED_SETTINGS, find_new_name

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
        ("learning_rate=1", r"unknown configuration key 'learning_rate'; did you mean optimizer\.lr\?"),
        ("lr=1", r"unknown configuration key 'lr'; did you mean optimizer\.lr\?"),
        ("epochs=-3", r"epochs: Input should be greater than 0, not -3"),
        ("epochs=2.5", r"epochs: .*integer"),
        ("epochs", r"--set takes key=value, not 'epochs'"),
        ("=3", r"--set takes key=value"),
        ("optimizer=3", r"--set optimizer is a group; set one of optimizer\.name, optimizer\.lr"),
        ("precision=fp8", r"precision: Input should be 'fp32', 'fp16' or 'bf16', not 'fp8'"),
        ("loggers=[tensorbord]", r"loggers\.0: Input should be 'tensorboard', 'wandb' or 'mlflow', not 'tensorbord'"),
    ],
)
def test_a_wrong_override_is_one_sentence(file: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_protocol(file, TrainingRecipe, "full", [change])
    assert "\n" not in str(caught.value)


def test_literals() -> None:
    texts = ("1e-3", "1", "True", "null", "[1, 2]", "cosine", "'1'")
    assert [parse_value(text) for text in texts] == [0.001, 1, True, None, [1, 2], "cosine", "1"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[]", []),
        ("[wandb]", ["wandb"]),
        ("['wandb']", ["wandb"]),
        ("[wandb, tensorboard]", ["wandb", "tensorboard"]),
        ("[wandb,tensorboard]", ["wandb", "tensorboard"]),
        ("[cosine, 1e-3, none, '1']", ["cosine", 0.001, None, "1"]),
        ("[wandb", "[wandb"),
        ("wandb]", "wandb]"),
        ("wandb, tensorboard", "wandb, tensorboard"),
    ],
)
def test_a_list_needs_no_quotes_around_its_words(text: str, value: Any) -> None:
    assert parse_value(text) == value


def test_words_without_quotes_reach_the_recipe(file: Path) -> None:
    loaded = load_protocol(file, TrainingRecipe, "full", ["loggers=[tensorboard]"])
    assert loaded.recipe.loggers == ["tensorboard"]
    assert load_protocol(file, TrainingRecipe, "full", ["loggers=[]"]).recipe.loggers == []


class Elimination(StrictConfig):
    """A group that had another name, with a setting that had one and a setting that had none."""

    keep_ratio: float
    begin: int


class TrackingLike(TrainingRecipe):
    """Renamed settings at every level."""

    ce: Elimination
    out_indices: list[int] | None = None


@pytest.fixture
def nested(file: Path) -> Path:
    file.write_text(FILE.replace('"epochs": 10,', '"epochs": 10, "ce": {"keep_ratio": 0.7, "begin": 20},'))
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trackers=[wandb]", "--set trackers is called loggers now; write --set loggers=[wandb]"),
        ("trackers = ['wandb'] ", "--set trackers is called loggers now; write --set loggers=['wandb']"),
        ("taps=[3, 5]", "--set taps is called out_indices now; write --set out_indices=[3, 5]"),
        ("eliminate.keep=0.5", "--set eliminate.keep is called ce.keep_ratio now; write --set ce.keep_ratio=0.5"),
        ("eliminate.begin=3", "--set eliminate.begin is called ce.begin now; write --set ce.begin=3"),
        ("eliminate=none", "--set eliminate is called ce now; write --set ce=none"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(nested: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_protocol(nested, TrackingLike, "full", [change])
    assert str(caught.value) == message


def test_every_advised_name_is_taken(nested: Path) -> None:
    advised = ["loggers=[]", "out_indices=[3, 5]", "ce.keep_ratio=0.5", "ce.begin=3"]
    recipe = load_protocol(nested, TrackingLike, "full", advised).recipe
    assert (recipe.loggers, recipe.out_indices, recipe.ce) == ([], [3, 5], Elimination(keep_ratio=0.5, begin=3))


@pytest.mark.parametrize("change", ["taps=[3]", "eliminate.keep=0.5", "health.every=2"])
def test_an_old_name_of_another_domain_is_just_unknown(file: Path, change: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"unknown configuration key {change.partition('=')[0]!r}")):
        load_protocol(file, TrainingRecipe, "full", [change])


@pytest.mark.parametrize("renamed", RENAMED_SETTINGS.values(), ids=RENAMED_SETTINGS)
def test_no_old_name_is_a_new_one_too(renamed: dict[str, str]) -> None:
    """Else a setting of today would be taken for one of an earlier version."""
    assert not renamed.keys() & set(renamed.values())
    for old, new in renamed.items():
        assert find_new_name(old) == new
        assert find_new_name(new) is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["schedule.warmup=0", "schedule.warmup_peak=next_step"], r"there is no warm-up \(schedule\.warmup=0\)"),
        (
            ["optimizer.decay_embeddings=true"],
            r"decay_embeddings changes nothing, because optimizer\.weight_decay is 0",
        ),
        (
            ["optimizer.weight_decay=0.1", "optimizer.decay_all=true", "optimizer.decay_embeddings=true"],
            "decays everything",
        ),
        (["optimizer.swin_layers=mae_lite"], r"there is no layer decay \(optimizer\.layer_decay=1\); leave it out"),
    ],
)
def test_a_change_without_effect_is_refused(file: Path, words: list[str], sentence: str) -> None:
    """One number would have two ids."""
    with pytest.raises(ConfigError, match=sentence):
        load_protocol(file, TrainingRecipe, "full", words)


def test_what_the_file_says_without_effect_is_no_change(file: Path) -> None:
    text = FILE.replace('"warmup": 2', '"warmup": 2, "warmup_peak": "next_step"')
    file.write_text(text)
    for words in (["schedule.warmup=0"], ["schedule.warmup=0", "schedule.warmup_peak=next_step"]):
        assert load_protocol(file, TrainingRecipe, "full", words).recipe.schedule.warmup_peak == "next_step"
    with pytest.raises(ConfigError, match="there is no warm-up"):
        load_protocol(file, TrainingRecipe, "full", ["schedule.warmup=0", "schedule.warmup_peak=last_step"])


@pytest.mark.parametrize(
    ("recipe", "file_name", "words", "sentence"),
    [
        (
            SimmimRecipe,
            "pretraining/configs/simmim.py",
            ["decoder=conv", "decoder_width=48"],
            "decoder=conv has no block",
        ),
        (
            DistillRecipe,
            "classification/configs/images_finetune_distill.py",
            ["distill.class_token=false", "distill.alpha=1", "label_smoothing=0.3"],
            r"label_smoothing changes nothing, because no label is learned",
        ),
        (
            MaskedDistillRecipe,
            "pretraining/configs/mae_distill.py",
            ["distill.hidden_layers=[3]"],
            r"distill\.hidden_layers changes nothing, because distill\.hidden, the weight of that loss, is 0",
        ),
        (
            MaskedDistillRecipe,
            "pretraining/configs/mae_distill.py",
            ["distill.attention=0", "distill.hidden=1", "distill.attention_layers=[6]"],
            r"distill\.attention, the weight of that loss, is 0",
        ),
        (
            ImageRecipe,
            "classification/configs/flowers_finetune.py",
            ["optimizer.lr=0.5"],
            r"optimizer\.lr changes nothing, because search\.lr lists the rates that are tried",
        ),
        (
            ImageRecipe,
            "classification/configs/flowers_finetune.py",
            ["batch_size=64", "optimizer.lr=0.03"],
            r"optimizer\.lr changes nothing, because search\.lr",
        ),
        (
            ImageRecipe,
            "classification/configs/flowers_finetune.py",
            ["epochs=60", "optimizer.layer_decay=0.9"],
            r"layer_decay changes nothing, because search\.layer_decay",
        ),
        (
            ImageRecipe,
            "classification/configs/flowers_finetune.py",
            ["search.layer_decay=[1.0]", "optimizer.swin_layers=mae_lite"],
            r"swin_layers changes nothing, because there is no layer decay",
        ),
    ],
)
def test_changes_that_one_recipe_does_not_heed(
    recipe: type[TrainingRecipe], file_name: str, words: list[str], sentence: str
) -> None:
    file = Path(__file__).parents[2] / file_name
    with pytest.raises(ConfigError, match=sentence):
        load_protocol(file, recipe, "full", words)
    assert load_protocol(file, recipe, "full", [*words[:-1], "clip_grad=2.0"]).changed


def test_a_rate_beside_a_search_may_be_stated_and_counts_without_one() -> None:
    """What the rule makes of 0.03 for 512 images is no change, as a replay of a record gives all rates."""
    file = Path(__file__).parents[2] / "classification/configs/flowers_finetune.py"
    for words in (["batch_size=64", "optimizer.lr=0.00375"], ["search.lr=[]", "optimizer.lr=0.5"]):
        assert load_protocol(file, ImageRecipe, "full", words).recipe.optimizer.lr == float(words[1].split("=")[1])
