"""Features of frozen backbones: right, complete, and never those of something else."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbones.checkpoints.earlier_loading import FC_NORM_KEPT
from backbones.features import extract_pooled
from classification.probes import feature_cache, feature_extraction
from classification.probes.feature_cache import compute_cache_key, list_cache_entries
from classification.probes.feature_extraction import FrozenBackbone
from engine.data.digits import DigitsDataset
from foundation.errors import BenchError, IncompleteError, NonFiniteError
from tests.classification.probes.frozen_features import make_frozen, make_request
from tests.conftest import Bench
from tests.limits import HANG_SECONDS


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def test_one_row_an_item_in_item_order() -> None:
    made = make_frozen(batch_size=100)
    features = made.get_features("test")
    items = made.splits["test"]
    assert features.features.shape == (359, made.created.model.num_features)
    for index in (0, 99, 100, 358):
        with torch.inference_mode():
            alone = extract_pooled(made.created.model, torch.from_numpy(items[index]["images"])[None])[0].numpy()
        np.testing.assert_allclose(features.features[index], alone, rtol=1e-4, atol=1e-5)
        assert features.labels[index] == items[index]["labels"]


def test_a_finished_split_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_frozen().get_features("val")
    read: list[int] = []
    inner = DigitsDataset.__getitem__
    monkeypatch.setattr(DigitsDataset, "__getitem__", lambda self, index: read.append(index) or inner(self, index))
    again = make_frozen().get_features("val")
    assert sorted(read) == [0, 268], "only the probe: the first item and the last"
    np.testing.assert_array_equal(first.features, again.features)


def other_mean() -> FrozenBackbone:
    asked = make_request()
    return make_frozen(replace(asked, card=replace(asked.card, mean=(0.4, 0.4, 0.4))))


def other_architecture() -> FrozenBackbone:
    asked = make_request()
    return make_frozen(replace(asked, card=replace(asked.card, arguments={**asked.card.arguments, "depth": 2})))


OTHERS: dict[str, Callable[[], FrozenBackbone]] = {
    "seed of random weights": lambda: make_frozen(make_request(seed=1)),
    "backbone": lambda: make_frozen(make_request(backbone="vit_nano")),
    "architecture's arguments": other_architecture,
    "mean": other_mean,
    "img_size": lambda: make_frozen(img_size=40),
    "pool": lambda: make_frozen(pool="token"),
    "data": lambda: make_frozen(fingerprint="e" * 64),
    "device": lambda: replace(make_frozen(), device="cuda"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_change_misses_the_cache(what: str) -> None:
    base = make_frozen()
    base.get_features("val")
    other = OTHERS[what]()
    assert feature_cache.load_features(base.get_key_fields("val")) is not None
    assert feature_cache.load_features(other.get_key_fields("val")) is None
    assert feature_cache.load_features(base.get_key_fields("train")) is None


@pytest.mark.parametrize("part", ["dtype", "software", "preprocessing", "layer", "start", "weights", "items"])
def test_every_ingredient_is_in_the_key(part: str) -> None:
    made_of = make_frozen().get_key_fields("val")
    assert compute_cache_key(made_of) != compute_cache_key(made_of | {part: "other"})


def test_weights_count_by_content_and_not_by_name_or_seed(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.pth", "b.pth", "c.pth")]
    for file, seed in ((files[0], 1), (files[2], 2)):
        torch.save(make_frozen(make_request(seed=seed)).created.model.state_dict(), file)
    shutil.copy(files[0], files[1])
    keys = [compute_cache_key(make_frozen(make_request(checkpoint=str(file))).get_key_fields("val")) for file in files]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0] == compute_cache_key(
        make_frozen(make_request(checkpoint=str(files[0]), seed=5)).get_key_fields("val")
    )
    partial = [make_request(checkpoint=str(files[0]), seed=seed, allow_partial=True) for seed in (0, 5)]
    assert compute_cache_key(make_frozen(partial[0]).get_key_fields("val")) != compute_cache_key(
        make_frozen(partial[1]).get_key_fields("val")
    )


def test_features_of_weights_that_are_loaded_otherwise_are_others(tmp_path: Path) -> None:
    """The file is the same, and its features were computed with another ``fc_norm`` by earlier builds."""
    state = make_frozen(make_request(seed=1)).created.model.state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save(state | {"fc_norm.weight": torch.full_like(state["fc_norm.weight"], 2)}, tmp_path / "tuned.pth")
    torch.save({"model": state, "model_ema": state}, tmp_path / "average.pth")
    fields = {
        name: make_frozen(make_request(checkpoint=str(tmp_path / f"{name}.pth"))).get_key_fields("val")
        for name in ("plain", "tuned", "average")
    }
    assert not {"loading_fixes", "weights_key"} & set(fields["plain"])
    assert fields["tuned"]["loading_fixes"] == [FC_NORM_KEPT]
    assert fields["average"]["weights_key"] == "model_ema"


def test_batch_size_is_neutral() -> None:
    assert compute_cache_key(make_frozen(batch_size=7).get_key_fields("val")) == compute_cache_key(
        make_frozen().get_key_fields("val")
    )


def test_two_processes_that_need_the_same_features_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, whose pass is made slow here, and reads what it left."""
    frozen = make_frozen()
    is_computing, is_waiting, may_go_on = threading.Event(), threading.Event(), threading.Event()
    compute, passes = FrozenBackbone._compute_features, []

    def note_wait(text: str) -> None:
        if "another process computes the features of val" in text:
            is_waiting.set()

    def compute_slowly(self: FrozenBackbone, split: str, indices: Sequence[int] | None) -> Any:
        passes.append(split)
        is_computing.set()
        assert may_go_on.wait(HANG_SECONDS)
        return compute(self, split, indices)

    monkeypatch.setattr(FrozenBackbone, "_compute_features", compute_slowly)
    monkeypatch.setattr(feature_extraction, "log_message", note_wait)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(frozen.get_features, "val")
        assert is_computing.wait(HANG_SECONDS)
        second = pool.submit(frozen.get_features, "val")
        assert is_waiting.wait(HANG_SECONDS)
        may_go_on.set()
        assert np.array_equal(first.result(HANG_SECONDS).features, second.result(HANG_SECONDS).features)
    assert passes == ["val"]


def test_a_lock_whose_owner_failed_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = make_frozen()
    with monkeypatch.context() as patch:
        patch.setattr(FrozenBackbone, "_extract_batch", lambda self, images: np.full((len(images), 3), np.nan))
        with pytest.raises(NonFiniteError):
            frozen.get_features("val")
    assert len(frozen.get_features("val").labels) == 269
    assert [entry.defect for entry in list_cache_entries()] == [None], "the lock is no entry"


def test_edited_model_code_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """No key knows the code of a plug-in; the probe does."""
    first = make_frozen().get_features("val")
    edited = make_frozen()
    edited.created.model.blocks[0].register_forward_hook(lambda _model, _input, output: output * 1.5)
    second = edited.get_features("val")
    assert "computed again" in capsys.readouterr().err
    assert np.abs(second.features - first.features).max() > 1e-4


def test_features_that_are_not_finite_give_no_number() -> None:
    made = make_frozen()
    with torch.no_grad():
        made.created.model.pos_embed[:] = float("nan")
    with pytest.raises(BenchError, match="features of test image 0 are not finite"):
        made.get_features("test")
    assert feature_cache.list_cache_entries() == []


def test_items_out_of_order_are_refused() -> None:
    made = make_frozen()

    class Shuffled(DigitsDataset):
        def __getitem__(self, index: int) -> dict[str, Any]:
            return super().__getitem__(index) | {"item": 5}

    base = made.splits["test"]
    assert isinstance(base, DigitsDataset)
    made = replace(made, splits={"test": Shuffled(base.digits, "test", 32, (0.5,) * 3, (0.5,) * 3)})
    with pytest.raises(IncompleteError, match="where image 0 was due"):
        made.get_features("test")


def test_two_processes_compute_the_batches_of_one() -> None:
    """In turn, and the same bits."""
    made = make_frozen(batch_size=100)
    whole = list(made.compute_batches("test", None, 0, 1))
    parts = [list(made.compute_batches("test", None, first, 2)) for first in (0, 1)]
    assert [len(labels) for _, labels in whole] == [100, 100, 100, 59]
    for number, (features, labels) in enumerate(whole):
        own, own_labels = parts[number % 2][number // 2]
        assert np.array_equal(own, features) and np.array_equal(own_labels, labels)


@pytest.mark.parametrize("protocol", ["knn", "linear"])
def test_the_command_and_its_record(protocol: str, bench: Bench, tmp_path: Path) -> None:
    words = ("run", "digits", "--backbone", "vit_pico", "--protocol", protocol, "--tier", "smoke")
    first = bench(*words, "--out", str(tmp_path / "a"), "--json")
    assert first.returncode == 0, first.stderr
    record = json.loads(first.stdout)[0]["record"]
    assert record["status"] == "complete"
    assert (record["done"], record["protocol"], record["environment"]["precision"]) == (359, protocol, "fp32")
    selection = record["result"]["selection"]
    if protocol == "knn":
        assert selection == {
            "split": "none",
            "metric": "top1",
            "candidates": 1,
            "chosen": "k=20, T=0.07, train votes",
            "value": None,
        }
    else:
        assert (selection["split"], selection["candidates"]) == ("val", 3)
    again = bench(*words, "--out", str(tmp_path / "b"), "--json")
    other = json.loads(again.stdout)[0]["record"]
    assert other["result"] == record["result"], "from the cache as from scratch"
    assert other["run_id"] == record["run_id"]


@pytest.mark.shared_data
def test_real_weights_are_far_above_random_ones(deit_file: Path, bench: Bench, tmp_path: Path) -> None:
    tops = []
    for checkpoint in (str(deit_file), "random"):
        words = ("--protocol", "knn", "--backbone", "deit_tiny", "--checkpoint", checkpoint, "--out", str(tmp_path))
        done = bench("run", "digits", *words, "--tier", "smoke", "--set", "img_size=64", "max_items=500", "--json")
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)[0]["record"]
        tops.append(record["result"]["metrics"]["top1"]["value"])
        checkpoint_ = record["backbone"]["checkpoint"]
        assert (checkpoint_ is None) == (checkpoint == "random")
        assert checkpoint_ is None or checkpoint_["load_report"]["matched_fraction"] == 1.0
    assert tops[0] > tops[1] + 10, tops
