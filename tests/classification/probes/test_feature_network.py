"""Features by OpenVINO: PyTorch's features, kept apart from them, and refused where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import classification
from classification.probes import feature_network
from classification.probes.feature_cache import compute_cache_key
from classification.recipe import KnnRecipe
from deployment.openvino import get_core
from engine.config import load_protocol
from foundation.errors import BenchError, ConfigError, NonFiniteError, UserError
from results.records.store import read_record
from tests.classification.probes.frozen_features import make_frozen
from tests.conftest import Bench

pytest.importorskip("openvino")

CONFIGS = Path(classification.__file__).parent / "configs"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def has_bf16() -> bool:
    return "BF16" in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_features_are_those_of_torch() -> None:
    by_torch, by_openvino = make_frozen(), make_frozen(runtime="openvino")
    expected, found = by_torch.get_features("val"), by_openvino.get_features("val")
    np.testing.assert_array_equal(found.labels, expected.labels)
    # both sum float32 products in some order; an entry of PyTorch's cache would be equal to the last bit
    difference = np.abs(found.features - expected.features).max()
    assert 0 < difference < 1e-5 * np.abs(expected.features).max()
    assert compute_cache_key(by_torch.get_key_fields("val")) != compute_cache_key(by_openvino.get_key_fields("val"))


def test_bits_depend_on_no_batch_and_no_thread() -> None:
    with_threads = make_frozen(runtime="openvino", batch_size=100).get_features("val").features
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = make_frozen(runtime="openvino", batch_size=7, workers=0)
        values = np.concatenate([part for part, _ in alone.compute_batches("val", None, 0, 1)])
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(with_threads, values)


def test_bf16_has_its_own_entry_and_says_how_far_it_is() -> None:
    if not has_bf16():
        pytest.skip("this CPU has no bf16")
    in_f32, in_bf16 = (make_frozen(runtime="openvino", precision=name) for name in ("f32", "bf16"))
    expected, found = in_f32.get_features("val").features, in_bf16.get_features("val").features
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    # 8 bits of mantissa round by up to 2^-9; a hundred products in a row leave a few times that
    assert 2**-12 < difference < 0.1
    assert in_bf16.network is not None and in_f32.network is not None
    details = in_bf16.network.details["feature_runtime"]
    assert (
        details["precision"] == "bf16"
        and details["difference"] > in_f32.network.details["feature_runtime"]["difference"]
    )


def test_a_row_that_no_callback_wrote_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_frozen(runtime="openvino")
    copy = np.copyto

    def lose_one(target: Any, source: Any) -> None:
        if not target.base.flags.owndata or target.ctypes.data != target.base.ctypes.data:  # all but the first row
            copy(target, source)

    monkeypatch.setattr("deployment.openvino.np.copyto", lose_one)
    with pytest.raises(NonFiniteError, match="the features of val image 0 are not finite"):
        made.get_features("val")


def test_a_runtime_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = feature_network.load_batch_graph

    def load_wrong_graph(*arguments: Any) -> Any:
        compute = right(*arguments)
        return lambda images: compute(images) * np.float32(1.001)

    monkeypatch.setattr(feature_network, "load_batch_graph", load_wrong_graph)
    with pytest.raises(BenchError, match=r"vit_pico in OpenVINO differs from PyTorch's network: features differ by"):
        make_frozen(runtime="openvino")


def test_bf16_that_destroys_the_features_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_network, "require_runtime", lambda *arguments: None)
    monkeypatch.setattr(
        feature_network, "load_batch_graph", lambda *arguments: lambda images: np.ones((len(images), 32), np.float32)
    )
    with pytest.raises(BenchError, match=r"in bf16 is no longer the model: the cosine .* falls to"):
        make_frozen(runtime="openvino", precision="bf16")


def test_another_device_is_refused() -> None:
    recipe = make_frozen().recipe.model_copy(update={"runtime": "openvino"})
    with pytest.raises(UserError, match="computes on the CPU, not on cuda; add --device cpu"):
        feature_network.require_feature_runtime(recipe, "cuda")


def test_a_precision_that_torch_has_not_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"PyTorch computes features in f32 \(add --set runtime=openvino\)"):
        load_protocol(CONFIGS / "digits_knn.py", KnnRecipe, "full", ["precision=bf16"])


def test_a_run_has_its_own_id_and_says_what_computed_it(bench: Bench, tmp_path: Path) -> None:
    words = ["run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--tier", "smoke", "--out", str(tmp_path)]
    assert bench(*words).returncode == 0
    assert bench(*words, "--set", "runtime=openvino").returncode == 0
    records = [read_record(path.parent) for path in sorted(tmp_path.glob("*/*/record.json"))]
    assert len(records) == 2
    assert len({record.run_id for record in records}) == 2
    (details,) = [found for record in records if (found := record.result.details.get("feature_runtime"))]
    assert details["runtime"] == "openvino" and details["difference"] < 1e-4 * details["scale"]
