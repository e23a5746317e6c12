"""Low-shot draws through the real command and against scikit-learn."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from benchmarks.cli.main import main
from classification.digits_task import CONFIG_DIR, DIGITS
from classification.metrics import ScoredItem
from classification.probes import feature_cache
from classification.probes.lowshot import average_over_draws, run_lowshot, sample_few_shot_subset
from classification.recipe import LowShotRecipe
from engine.config import load_protocol
from foundation.errors import ConfigError, IncompleteError, UserError
from tests.classification.probes.frozen_features import make_frozen

GRID = {"low": 0.01, "high": 1.0, "count": 3}
WORDS = ("run", "digits", "--backbone", "vit_pico", "--protocol", "lowshot", "--device", "cpu", "--tier", "smoke")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def shots4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[dict[str, Any], Path]]:
    """Record and folder of one cell with three draws."""
    words = ("--shots", "4", "--set", "draws=3", "--out", str(tmp_path / "runs"), "--json")
    assert main([*WORDS, *words]) == 0
    (cell,) = json.loads(capsys.readouterr().out)
    yield cell["record"], Path(cell["folder"])


def test_the_number_follows_from_the_items(shots4: tuple[dict[str, Any], Path]) -> None:
    record, folder = shots4
    assert record["done"] == record["expected"] == 3 * 359
    with (folder / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["draw", "item", "label", "prediction", "confidence", "place"]
    for name, score in (("top1", accuracy_score), ("mean_per_class", balanced_accuracy_score)):
        each = []
        for draw in range(3):
            mine = [row for row in rows if row["draw"] == str(draw)]
            assert [int(row["item"]) for row in mine] == list(range(359))
            each.append(100 * score([row["label"] for row in mine], [row["prediction"] for row in mine]))
        metric = record["result"]["metrics"][name]
        assert metric["value"] == pytest.approx(np.mean(each), abs=1e-9)
        low, high = stats.t.interval(0.95, 2, loc=np.mean(each), scale=stats.sem(each))
        assert (metric["interval"]["low"], metric["interval"]["high"]) == pytest.approx((low, high), abs=1e-9)
        assert (metric["interval"]["method"], metric["interval"]["resampling_unit"]) == ("Student's t, n = 3", "draws")
    assert len(record["result"]["selection"]["chosen"].split(", ")) == 3


@pytest.mark.parametrize("amount", [{"shots": 1}, {"shots": 8}, {"percent": 5.0}])
def test_each_draw_agrees_with_scikit_learn(amount: dict[str, Any]) -> None:
    made = make_frozen()
    recipe = LowShotRecipe(img_size=32, draws=2, grid=GRID, tolerance=1e-7, **amount)
    outcome = run_lowshot(made, recipe, DIGITS)
    (train, labels), (val, truth), (test, _) = (made.get_features(split) for split in ("train", "val", "test"))
    for draw in range(2):
        drawn = sample_few_shot_subset(made, recipe, draw)
        scaler = StandardScaler().fit(train[drawn.train_indices].astype(float))
        best: tuple[float, Any] = (-1.0, None)
        for strength in recipe.grid.values():
            model = LogisticRegression(C=strength, tol=1e-8, max_iter=10000)
            model.fit(scaler.transform(train[drawn.train_indices].astype(float)), labels[drawn.train_indices])
            score = model.score(scaler.transform(val[drawn.val_indices].astype(float)), truth[drawn.val_indices])
            best = max(best, (score, model), key=lambda pair: pair[0])
        expected = best[1].predict(scaler.transform(test.astype(float)))
        found = np.array([row[3] for row in outcome.item_rows if row[0] == draw])
        assert np.mean(found == expected) >= 0.999


def test_draws_are_balanced_nested_and_seeded() -> None:
    made = make_frozen()
    labels = made.splits["train"].labels
    one, two, wide = (LowShotRecipe(img_size=32, grid=GRID, shots=count) for count in (1, 2, 16))
    drawn = sample_few_shot_subset(made, two, 0)
    assert set(Counter(labels[item] for item in drawn.train_indices).values()) == {2}
    assert set(sample_few_shot_subset(made, one, 0).train_indices) < set(drawn.train_indices)
    assert (
        sample_few_shot_subset(made, two, 1).train_indices
        != drawn.train_indices
        == sample_few_shot_subset(made, two, 0).train_indices
    )
    val = made.splits["val"].labels
    assert set(Counter(val[item] for item in sample_few_shot_subset(made, wide, 0).val_indices).values()) == {4}


def test_few_shots_compute_few_features() -> None:
    run_lowshot(make_frozen(), LowShotRecipe(img_size=32, grid=GRID, shots=1, draws=2), DIGITS)
    rows = {entry.key_fields["split"]: entry.num_items for entry in feature_cache.list_cache_entries()}
    assert rows["test"] == 359
    assert rows["train"] is not None
    assert 10 < rows["train"] <= 20


def test_a_curve_is_one_record_and_one_board_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "runs")
    assert main([*WORDS, "--shots", "1", "2", "--percent", "10", "--out", out]) == 0
    said = capsys.readouterr().out
    assert all(text in said for text in (" (shots=1): ", " (shots=2): ", " (percent=10): "))
    assert main([*WORDS, "--set", "shots=2", "--out", out]) == 0
    assert "answered from the record" in capsys.readouterr().out, "--shots 2 is --set shots=2"
    assert main(["table", "--runs", out]) == 0
    table = capsys.readouterr().out
    headings = [line for line in table.splitlines() if line.startswith("## digits")]
    assert sorted(line.rpartition(" ")[2] for line in headings) == ["percent=10", "shots=1", "shots=2"]
    assert "Intervals: 95 %, draws x items." in table


def test_what_does_not_hold_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", str(tmp_path / "runs"))
    assert main([*WORDS, "--shots", "200", *out]) == 2
    assert "class 8 has 113 training images and cannot give 200 shots; ask for 113 or fewer" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists(), "refused before anything is written"
    assert main([*WORDS, "--set", "percent=1", *out]) == 2
    assert "set exactly one of shots and percent, the other to none" in capsys.readouterr().err
    assert main([*WORDS, "--data-scale", "0.1", *out]) == 2
    assert "protocol lowshot has no --data-scale" in capsys.readouterr().err
    assert main(["run", "digits", "--backbone", "vit_pico", "--protocol", "linear", "--shots", "1", *out]) == 2
    assert "--shots and --percent are for --protocol lowshot" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="percent"):
        load_protocol(CONFIG_DIR / "digits_lowshot.py", LowShotRecipe, "full", ["shots=none", "percent=101"])


def test_a_draw_with_a_missing_item_has_no_number() -> None:
    whole = [ScoredItem(item, 0, 0, 1.0, 0) for item in range(3)]
    assert average_over_draws([whole, whole], 3, DIGITS)["top1"].value == 100
    assert average_over_draws([whole], 3, DIGITS)["top1"].interval is None
    with pytest.raises(IncompleteError, match="image 2 was scored 0 times"):
        average_over_draws([whole, whole[:2]], 3, DIGITS)


def test_constant_features_of_single_shots_give_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every feature of a draw equal: the classifier knows nothing, and nothing divides by zero."""
    made = make_frozen()
    for split in ("train", "val", "test"):
        items = made.splits[split]
        kept = np.ones((len(items), 4), np.float32)
        rows = [(kept, np.array(items.labels))]
        feature_cache.store_features(made.get_key_fields(split), len(items), rows)
    monkeypatch.setattr(type(made), "_matches_backbone", lambda *_: True)
    outcome = run_lowshot(made, LowShotRecipe(img_size=32, grid=GRID, shots=1, draws=2), DIGITS)
    assert 0 < outcome.metrics["top1"].value < 20


def test_shots_of_a_class_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(UserError, match="cannot give 500 shots"):
        run_lowshot(make_frozen(), LowShotRecipe(img_size=32, grid=GRID, shots=500), DIGITS)
    assert feature_cache.list_cache_entries() == []
