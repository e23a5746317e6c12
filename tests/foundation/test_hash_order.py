"""The order that splits and draws are cut from: pinned, and pinned at each place that uses it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from PIL import Image

from analysis.inputs.image_subset import sample_images
from classification.data.dataset_splits import ImageSplit, _split_off_val
from classification.data.readers.folders import read_imagefolder
from classification.data.subset_sampling import sample_k_shot
from engine.data.digits import load_digits_data
from foundation.hash_order import order_by_hash
from pretraining.knn_monitor import KnnMonitor
from pretraining.recipe import KnnMonitorSettings
from tests.pretraining.make import make_pool


def rank_by_hand(items: list[Any], salt: str) -> list[Any]:
    """The order as hashlib gives it, by hexadecimal digits."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{salt}:{item}".encode()).hexdigest())


def hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_order_is_that_of_the_hashes() -> None:
    assert order_by_hash(range(5), "digits-split-1") == [1, 4, 2, 3, 0]
    assert order_by_hash(["ab", "cd", "ef"], "x") == rank_by_hand(["ab", "cd", "ef"], "x")
    assert order_by_hash([1, 2, 3], "x", to_text=lambda item: str(-item)) == [
        -item for item in rank_by_hand([-1, -2, -3], "x")
    ]


def test_the_salt_and_nothing_else_moves_it() -> None:
    assert order_by_hash(range(50), "a") != order_by_hash(range(50), "b")
    assert order_by_hash(reversed(range(50)), "a") == order_by_hash(range(50), "a")
    fewer = [item for item in order_by_hash(range(50), "a") if item < 20]
    assert fewer == order_by_hash(range(20), "a")


def test_every_use_keeps_its_salt() -> None:
    digits = load_digits_data()
    zeros = [item for item, label in enumerate(digits.labels.tolist()) if label == 0]
    tests = rank_by_hand(zeros, "digits-split-1")[: round(0.2 * len(zeros))]
    assert set(tests) == {item for item in digits.splits["test"] if digits.labels[item] == 0}
    assert sample_k_shot([0] * 9, 3, seed=4) == sorted(rank_by_hand(list(range(9)), "bench-draw-1:4")[:3])
    split = ImageSplit(None, range(20), [0] * 20)  # type: ignore[arg-type]  # no image is looked at
    assert set(_split_off_val(split, 0.2)[1].indices) == set(rank_by_hand(list(range(20)), "bench-split-1")[:4])
    pool = make_pool(12)
    settings = KnnMonitorSettings(interval=1, bank_size=6, num_queries=3, k=1, temperature=1.0)
    monitor = KnnMonitor(pool, settings, None)  # type: ignore[arg-type]  # no image is looked at
    assert monitor.item_indices == rank_by_hand(list(range(12)), "pretraining-health-1")[:9]
    assert sample_images(range(30), 7).indices == rank_by_hand(list(range(30)), "bench-analysis-1")[:7]  # type: ignore[arg-type]


def test_folders_without_a_test_split_hash_the_content(tmp_path: Path) -> None:
    for red, label in enumerate(("cat", "dog")):
        (tmp_path / label).mkdir()
        for number in range(6):
            Image.new("RGB", (4, 4), (number, red, 0)).save(tmp_path / label / f"{number}.png")
    splits = read_imagefolder(tmp_path).splits
    for split, place in (("test", 0), ("val", 1)):
        expected = set()
        for label in ("cat", "dog"):
            contents = {hash_file(path): path for path in (tmp_path / label).iterdir()}
            chosen = contents[rank_by_hand(list(contents), "bench-content-split-2")[place]]
            expected.add(f"{label}/{chosen.name}")
        assert set(splits[split].images.paths) == expected  # type: ignore[attr-defined]
