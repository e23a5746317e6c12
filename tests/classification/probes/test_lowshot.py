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
from classification.digits_task import CONFIGS, DIGITS
from classification.metrics import Scored
from classification.probes import feature_cache
from classification.probes.lowshot import draw_items, lowshot, over_draws
from classification.recipe import LowShotRecipe
from engine.config import load_protocol
from foundation.errors import ConfigError, IncompleteError, UserError
from tests.classification.probes.frozen_features import frozen

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
        assert (metric["interval"]["method"], metric["interval"]["over"]) == ("Student's t, n = 3", "draws")
    assert len(record["result"]["selection"]["chosen"].split(", ")) == 3


@pytest.mark.parametrize("amount", [{"shots": 1}, {"shots": 8}, {"percent": 5.0}])
def test_each_draw_agrees_with_scikit_learn(amount: dict[str, Any]) -> None:
    made = frozen()
    recipe = LowShotRecipe(img_size=32, draws=2, grid=GRID, tolerance=1e-7, **amount)
    outcome = lowshot(made, recipe, DIGITS)
    (train, labels), (val, truth), (test, _) = (made.features(split) for split in ("train", "val", "test"))
    for draw in range(2):
        drawn = draw_items(made, recipe, draw)
        scaler = StandardScaler().fit(train[drawn.train].astype(float))
        best: tuple[float, Any] = (-1.0, None)
        for strength in recipe.grid.values():
            model = LogisticRegression(C=strength, tol=1e-8, max_iter=10000)
            model.fit(scaler.transform(train[drawn.train].astype(float)), labels[drawn.train])
            score = model.score(scaler.transform(val[drawn.val].astype(float)), truth[drawn.val])
            best = max(best, (score, model), key=lambda pair: pair[0])
        expected = best[1].predict(scaler.transform(test.astype(float)))
        found = np.array([row[3] for row in outcome.items if row[0] == draw])
        assert np.mean(found == expected) >= 0.999


def test_draws_are_balanced_nested_and_seeded() -> None:
    made = frozen()
    labels = made.splits["train"].labels
    one, two, wide = (LowShotRecipe(img_size=32, grid=GRID, shots=count) for count in (1, 2, 16))
    drawn = draw_items(made, two, 0)
    assert set(Counter(labels[item] for item in drawn.train).values()) == {2}
    assert set(draw_items(made, one, 0).train) < set(drawn.train)
    assert draw_items(made, two, 1).train != drawn.train == draw_items(made, two, 0).train
    val = made.splits["val"].labels
    assert set(Counter(val[item] for item in draw_items(made, wide, 0).val).values()) == {4}


def test_few_shots_compute_few_features() -> None:
    lowshot(frozen(), LowShotRecipe(img_size=32, grid=GRID, shots=1, draws=2), DIGITS)
    rows = {entry.ingredients["split"]: entry.rows for entry in feature_cache.entries()}
    assert rows["test"] == 359
    assert rows["train"] is not None
    assert 10 < rows["train"] <= 20


def test_a_curve_is_one_record_and_one_board_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "runs")
    assert main([*WORDS, "--shots", "1", "2", "--percent", "10", "--out", out]) == 0
    said = capsys.readouterr().out
    assert all(text in said for text in (" 1 shots: ", " 2 shots: ", " 10 %: "))
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
        load_protocol(CONFIGS / "digits_lowshot.py", LowShotRecipe, "full", ["shots=none", "percent=101"])


def test_a_draw_with_a_missing_item_has_no_number() -> None:
    whole = [Scored(item, 0, 0, 1.0, 0) for item in range(3)]
    assert over_draws([whole, whole], 3, DIGITS)["top1"].value == 100
    assert over_draws([whole], 3, DIGITS)["top1"].interval is None
    with pytest.raises(IncompleteError, match="image 2 was scored 0 times"):
        over_draws([whole, whole[:2]], 3, DIGITS)


def test_constant_features_of_single_shots_give_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every feature of a draw equal: the classifier knows nothing, and nothing divides by zero."""
    made = frozen()
    for split in ("train", "val", "test"):
        items = made.splits[split]
        kept = np.ones((len(items), 4), np.float32)
        rows = [(kept, np.array(items.labels))]
        feature_cache.store(made.ingredients(split), len(items), rows)
    monkeypatch.setattr(type(made), "_still_holds", lambda *_: True)
    outcome = lowshot(made, LowShotRecipe(img_size=32, grid=GRID, shots=1, draws=2), DIGITS)
    assert 0 < outcome.metrics["top1"].value < 20


def test_shots_of_a_class_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(UserError, match="cannot give 500 shots"):
        lowshot(frozen(), LowShotRecipe(img_size=32, grid=GRID, shots=500), DIGITS)
    assert feature_cache.entries() == []
