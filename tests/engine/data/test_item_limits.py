"""Tiers: what each one trains and scores, by the official sizes of the sets, and runs on a part of the items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import litevit_bench as bench
from benchmarks.task_registry import TASKS
from classification.plan import count_training_items, expand_search, get_recipe_type, list_training_splits
from classification.recipe import ClassificationRecipe
from engine.config import load_protocol
from engine.data.item_limits import balance_indices, limit_report, limit_test_items
from engine.lr_schedule import count_steps_per_epoch
from engine.recipe import ITEM_LIMITS, ProtocolSettings, TrainingRecipe
from engine.task import DataReport
from foundation.errors import BenchError, ConfigError
from pretraining.data.dataset_specs import DATASET_CARDS
from pretraining.method_registry import METHOD_CARDS
from results.leaderboard.departures import list_departures
from results.records.store import read_record
from segmentation.recipe import SegmentationRecipe
from tests.conftest import ROOT
from tests.wrong_numbers.forgery import judge_run
from tracking.recipe import TrackingRecipe

OWN_DATA = {"train": 1_000_000, "val": 1_000_000, "test": 1_000_000}
"""A user's folder has no official size; a smoke run of it must not take longer because it is large."""
NUM_CLASSES = {"imagenet": 1000, "inat18": 8142, "flowers": 102, "cifar100": 100, "aircraft": 100, "cars": 196}
TRAINING_IMAGES = {"pets": 3_680, "cars": 8_144, "inat18": 437_513, "imagenet": 1_281_167}
"""Official sizes that the task does not state, because a part of train becomes val."""
NUM_PHOTO_TILES = 1_741
MAX_SMOKE_STEPS, MAX_SMOKE_TRAINING_ITEMS, MAX_SMOKE_ITEMS = 60, 3_600, 360
MAX_SMOKE_FRAMES = 12 * 48
MAX_SHORT_TRAINING_ITEMS = 26_000_000


def list_cells() -> Iterator[tuple[str, str]]:
    for name in ("digits", "cifar10", "cifar100", "flowers", "pets", "aircraft", "cars", "inat18", "imagenet"):
        yield from ((name, protocol) for protocol in TASKS.get(name).protocols)
    for name in ("imagefolder", "ade20k", "camvid", "mini_ade", "segfolder", "lasot", "mini_lasot", "trackfolder"):
        yield from ((name, protocol) for protocol in TASKS.get(name).protocols)
    for data in DATASET_CARDS:  # mae_cifar is made for CIFAR; its 100 short epochs of ImageNet are nobody's run
        methods = [name for name in METHOD_CARDS if name != "mae_cifar" or data.startswith("cifar")]
        yield from ((f"pretrain on {data}", method) for method in methods)


CELLS = list(list_cells())


def load_recipe(task_name: str, protocol: str, tier: str) -> ProtocolSettings:
    """The recipe of a cell, from the file that its plan reads."""
    if task_name.startswith("pretrain on "):
        data, method = task_name.removeprefix("pretrain on "), METHOD_CARDS[protocol]
        folder, kind = ROOT / "pretraining" / "configs", method.load_recipe_class()
        names = [f"{protocol}_{data}", protocol]
    else:
        task = TASKS.get(task_name)
        folder = ROOT / task.domain / "configs"
        names = [f"{task_name}_{protocol}", f"images_{protocol}", protocol]
        kinds: dict[str, Any] = {"segmentation": SegmentationRecipe, "tracking": TrackingRecipe}
        kind = kinds.get(task.domain) or get_recipe_type(protocol, task_name != "digits")
    file = next(path for path in (folder / f"{name}.py" for name in names) if path.is_file())
    return load_protocol(file, kind, tier, ["loggers=[]"] if issubclass(kind, TrainingRecipe) else []).recipe


def report_official_data(task_name: str) -> DataReport:
    """A report with the official size of a set, in classes of equal size."""
    if task_name.startswith("pretrain on "):
        data = task_name.removeprefix("pretrain on ")
        count = NUM_PHOTO_TILES if data == "photos" else DATASET_CARDS[data].official_count
        return DataReport("0" * 64, {"train": count or OWN_DATA["train"]})
    task = TASKS.get(task_name)
    splits = dict(task.expected) or (OWN_DATA if task.domain != "tracking" else {"test": 1_000_000})
    if task.domain != "classification":
        return DataReport("0" * 64, splits)
    if "train" not in splits:
        splits["val"] = TRAINING_IMAGES[task_name] // 10
        splits["train"] = TRAINING_IMAGES[task_name] - splits["val"]
    splits.setdefault("val", 0)
    classes = NUM_CLASSES.get(task_name, 10)
    counts = {
        split: {str(label): count // classes + (label < count % classes) for label in range(classes)}
        for split, count in splits.items()
    }
    return DataReport("0" * 64, splits, class_counts=counts)


def count_trained_items(recipe: ProtocolSettings, data: DataReport) -> tuple[int, int]:
    """Optimizer steps of all trainings of a run, and the items that go through them (or give features)."""
    if not isinstance(recipe, TrainingRecipe):
        return 0, sum(data.splits.values())
    if not recipe.by_epoch:
        return recipe.length, recipe.length * recipe.batch_size
    if isinstance(recipe, TrackingRecipe):
        sizes = [recipe.pairs]
    elif isinstance(recipe, ClassificationRecipe):
        searches = {"train": len(list(expand_search(recipe))), "train+val": 1}
        sizes = [
            count_training_items(data, splits, 1.0)
            for splits in list_training_splits(recipe)
            for _ in range(searches[splits])
        ]
    else:
        sizes = [data.splits["train"]]
    steps = sum(recipe.length * count_steps_per_epoch(recipe, size) for size in sizes)
    return steps, recipe.length * sum(sizes)


@pytest.mark.parametrize(("task_name", "protocol"), CELLS)
def test_every_tier_is_what_the_page_says(task_name: str, protocol: str) -> None:
    data = report_official_data(task_name)
    tiers = {tier: load_recipe(task_name, protocol, tier) for tier in ("full", "short", "smoke")}
    for tier in ("full", "short"):  # scored on every item
        assert all(getattr(tiers[tier], name, None) is None for name in ITEM_LIMITS)
    steps, trained = count_trained_items(tiers["smoke"], limit_report(data, tiers["smoke"].max_items))
    scored = limit_report(data, tiers["smoke"].max_items).splits.get("test", 0)
    assert steps <= MAX_SMOKE_STEPS
    assert trained <= MAX_SMOKE_TRAINING_ITEMS
    assert scored <= MAX_SMOKE_ITEMS
    if task_name in ("lasot", "trackfolder"):
        recipe = tiers["smoke"]
        assert isinstance(recipe, TrackingRecipe)
        assert (recipe.max_items or 10**9) * (recipe.max_frames or 10**9) <= MAX_SMOKE_FRAMES
    if isinstance(tiers["full"], TrainingRecipe):
        counts = [count_trained_items(tiers[tier], data)[1] for tier in ("smoke", "short", "full")]
        assert counts[1] < counts[2]
        assert steps < count_trained_items(tiers["short"], data)[0]
        assert counts[1] <= MAX_SHORT_TRAINING_ITEMS


@pytest.mark.parametrize("limit", [1, 7, 10, 128, 359])
def test_the_plan_counts_the_items_that_the_run_keeps(limit: int) -> None:
    labels = [label for label in range(20) for _ in range(1 + 3 * (label % 5))]
    counts = {f"class {label}": labels.count(label) for label in range(20)}
    report = DataReport("0" * 64, {"test": len(labels)}, class_counts={"test": counts})
    kept = balance_indices(labels, limit)
    assert list(kept) == sorted(set(kept))
    assert len(kept) == limit_report(report, limit).splits["test"] <= limit
    found = limit_report(report, limit).class_counts["test"]
    if limit >= len(labels):
        assert limit_report(report, limit) == report
    for label in range(20):
        assert sum(labels[item] == label for item in kept) == found.get(f"class {label}", 0)
    # a classifier is tested on the classes that it was trained on, whatever their counts in either split
    train = [*range(20)] * 20
    assert {labels[item] for item in kept} <= {train[item] for item in balance_indices(train, limit)}


def test_a_recorded_limit_may_be_anything() -> None:
    columns = {"item": range(4), "label": [0, 0, 1, 1]}
    for recipe in (None, [], {"max_items": "2"}, {"max_items": True}, {"max_items": -1}, {"max_items": None}):
        assert list(limit_test_items(columns, recipe)["item"]) == [0, 1, 2, 3]
    assert limit_test_items(columns, {"max_items": 2}) == {"item": range(2), "label": [0, 1]}


def test_a_limit_of_one_item_is_refused_as_its_score_could_not_be_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_items: Input should be greater than or equal to 2, not 1"):
        bench.run("digits", "vit_pico", protocol="knn", tier="smoke", overrides={"max_items": 1}, out=tmp_path)


def test_full_has_no_limit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_items limits the tiers smoke and short"):
        bench.run("digits", "vit_pico", protocol="knn", overrides={"max_items": 50}, out=tmp_path)


@pytest.mark.parametrize(
    ("task", "backbone", "protocol", "changes", "expected"),
    [
        ("digits", "vit_pico", "knn", {"max_items": 50}, 50),
        ("digits", "vit_pico", "lowshot", {"max_items": 50, "shots": 6}, 2 * 50),
        ("digits", "vit_pico", "finetune", {"max_items": 50, "epochs": 1, "schedule.warmup": 0}, 50),
        ("mini_ade", "vit_nano", "linear", {"max_items": 3, "iterations": 3, "val_interval": 3}, 3),
        (
            "mini_lasot",
            "vit_pico",
            "fast64",
            {"max_items": 3, "max_frames": 6, "epochs": 1, "schedule.warmup": 0, "pairs": 16, "val_pairs": 16},
            3,
        ),
    ],
)
def test_a_run_on_a_part_of_the_items_is_complete_verified_and_says_so(
    task: str, backbone: str, protocol: str, changes: dict[str, Any], expected: int, tmp_path: Path
) -> None:
    record = bench.run(task, backbone, protocol=protocol, tier="smoke", overrides=changes, out=tmp_path)
    assert (record.status, record.done, record.expected) == ("complete", expected, expected)
    assert f"max_items={changes['max_items']}" in list_departures(record)
    states = judge_run(tmp_path)
    # a call from Python has no command that could name the settings
    assert (states["items"], states["settings"]) == ("holds", "note")
    assert "fails" not in states.values()
    (folder,) = (path.parent for path in tmp_path.rglob("record.json"))
    assert [path for path in folder.rglob("*") if path.suffix in (".png", ".jpg", ".webp")], "pictures are drawn"
    assert read_record(folder).comparability == record.comparability


def test_a_limit_that_changes_nothing_is_not_in_the_id(tmp_path: Path) -> None:
    one, other = (
        bench.run("digits", "vit_pico", protocol="knn", tier="smoke", overrides=changes, out=tmp_path)
        for changes in ({}, {"max_items": 1169})
    )
    assert one.run_id == other.run_id
    assert "max_items" not in one.config["recipe"]


def test_a_pre_training_on_a_part_of_the_images(tmp_path: Path) -> None:
    changes = {"max_items": 64, "epochs": 1, "schedule.warmup": 0}
    folder = bench.pretrain("mae", "vit_pico", "digits", tier="smoke", overrides=changes, out=tmp_path)
    record = read_record(Path(folder))
    assert record.result is not None
    assert record.result.metrics["loss"].n == 64
    with pytest.raises(BenchError):
        bench.pretrain("mae", "vit_pico", "digits", overrides=changes, out=tmp_path)
