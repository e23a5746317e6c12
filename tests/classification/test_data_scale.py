"""``--data-scale`` on frozen features: less of train, all of val and test, a board of its own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli.main import main
from classification.data.subset_sampling import sample_class_fraction
from classification.probes import feature_cache
from classification.probes.feature_cache import compute_cache_key
from engine.data.digits import DigitsDataset
from tests.classification.probes.frozen_features import make_frozen, make_request

WORDS = ("run", "digits", "--backbone", "vit_pico", "--device", "cpu", "--tier", "smoke")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def test_only_what_is_drawn_is_computed() -> None:
    made = make_frozen(make_request(data_scale=0.1))
    features = made.get_train_features()
    labels = made.splits["train"].labels
    drawn = sample_class_fraction(labels, 0.1, 0)
    assert features.labels.tolist() == [labels[item] for item in drawn]
    assert [entry.num_items for entry in feature_cache.list_cache_entries()] == [len(drawn)] == [119]
    whole = make_frozen().get_train_features()
    np.testing.assert_allclose(features.features, whole.features[drawn], rtol=1e-4, atol=1e-5)
    assert len(made.get_features("val").features) == 269
    assert len(made.get_features("test").features) == 359


def test_rows_of_the_whole_split_serve_where_it_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_frozen().get_train_features()
    read: list[int] = []
    inner = DigitsDataset.__getitem__
    monkeypatch.setattr(DigitsDataset, "__getitem__", lambda self, index: read.append(index) or inner(self, index))
    made = make_frozen(make_request(data_scale=0.2))
    features = made.get_train_features()
    assert sorted(read) == [0, 1168], "only the probe"
    np.testing.assert_array_equal(
        features.features, whole.features[sample_class_fraction(made.splits["train"].labels, 0.2, 0)]
    )


def test_the_draw_is_in_the_key_of_the_cache() -> None:
    made = make_frozen()
    keys = [compute_cache_key(made.get_key_fields("train", members)) for members in (None, [0, 1], [0, 2])]
    assert len(set(keys)) == 3


def drawn(scale: float, **changes: Any) -> list[int]:
    """Item numbers of train that a run uses."""
    found = make_frozen(make_request(data_scale=scale, **changes))._get_used_indices("train")
    assert found is not None
    return list(found)


def test_the_draw_goes_by_the_seed_alone() -> None:
    first, small = drawn(0.3), drawn(0.1)
    assert first == drawn(0.3) == drawn(0.3, backbone="vit_nano") != drawn(0.3, seed=1)
    assert set(small) < set(first)
    labels = make_frozen().splits["train"].labels
    assert set(Counter(labels[item] for item in small).values()) <= {11, 12}


def cells(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main([*WORDS, *words, "--json"]) == 0
    return [cell["record"] for cell in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize("protocol", ["linear", "linear_sgd", "knn"])
def test_every_share_is_another_board(protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "runs")
    records = cells(capsys, "--protocol", protocol, "--out", out, "--data-scale", "0.02", "0.5", "1.0")
    assert [record["config"].get("data_scale") for record in records] == [0.02, 0.5, None]
    assert len({record["comparability"] for record in records}) == 3
    assert len({record["run_id"] for record in records}) == 3
    assert {record["done"] for record in records} == {359}
    tops = [record["result"]["metrics"]["top1"]["value"] for record in records]
    assert tops[0] < tops[2], "fifty times the data"
    assert main(["table", "--runs", out]) == 0
    headings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("## digits")]
    assert sorted(headings) == sorted(
        f"## digits · {protocol} · smoke{end}" for end in ("", " · 2 % of train", " · 50 % of train")
    )
