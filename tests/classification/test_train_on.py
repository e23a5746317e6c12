"""``train_on=train+val``: what is chosen on val is fitted again on both, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from classification.digits_task import DIGITS
from classification.probes.feature_extraction import FrozenBackbone
from classification.probes.knn import run_knn
from classification.probes.linear import run_linear_probe
from classification.probes.linear_sgd import run_linear_sgd, train_heads
from classification.recipe import KnnRecipe, LinearRecipe, LinearSgdRecipe
from tests.classification.probes.frozen_features import make_frozen, make_request

BOTH = {"img_size": 32, "train_on": "train+val"}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> FrozenBackbone:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = make_frozen(make_request("linear"))
        for split in ("train", "val", "test"):
            made.get_features(split)
    return made


def split(backbone: FrozenBackbone, *names: str) -> tuple[Any, Any]:
    parts = [backbone.get_features(name) for name in names]
    return np.concatenate([part.features for part in parts]), np.concatenate([part.labels for part in parts])


def predictions(outcome: Any) -> list[int]:
    return [row[2] for row in outcome.item_rows]


def test_linear_is_scikit_learns_on_both_with_the_strength_chosen_on_val(backbone: FrozenBackbone) -> None:
    grid = {"low": 1e-2, "high": 1e1, "count": 4}
    alone = run_linear_probe(backbone, LinearRecipe.model_validate({"img_size": 32, "grid": grid}), DIGITS)
    both = run_linear_probe(backbone, LinearRecipe.model_validate({**BOTH, "grid": grid}), DIGITS)
    assert both.selection.value == alone.selection.value, "val judges classifiers that never saw it"
    strength = alone.selection.chosen.partition(",")[0]
    assert both.selection.chosen == f"{strength}, on train+val"
    values, labels = split(backbone, "train", "val")
    scaler = StandardScaler().fit(values.astype(np.float64))
    theirs = LogisticRegression(C=float(strength[2:]), max_iter=5000, tol=1e-8).fit(scaler.transform(values), labels)
    expected = theirs.predict(scaler.transform(split(backbone, "test")[0]))
    assert np.mean(np.array(predictions(both)) == expected) >= 0.999
    assert predictions(both) != predictions(alone)


def test_both_vote(backbone: FrozenBackbone) -> None:
    outcome = run_knn(backbone, KnnRecipe.model_validate({**BOTH, "k": 1}), DIGITS)
    values, labels = split(backbone, "train", "val")
    expected = KNeighborsClassifier(1, metric="cosine").fit(values, labels).predict(split(backbone, "test")[0])
    assert np.mean(np.array(predictions(outcome)) == expected) >= 0.995, "features of random weights nearly coincide"
    assert outcome.selection.chosen.endswith("train+val votes")


def test_linear_sgd_trains_anew_on_both_with_the_rate_chosen_on_val(backbone: FrozenBackbone) -> None:
    optimizer = {
        "name": "LARS", "lr": {"low": 1.0, "high": 100.0, "count": 3}, "batch_size": 256, "epochs": 5, "warmup": 1,
    }  # fmt: skip
    recipe = LinearSgdRecipe.model_validate({**BOTH, "optimizer": optimizer})
    both = run_linear_sgd(backbone, recipe, DIGITS)
    rate = float(both.selection.chosen.partition(",")[0].removeprefix("base lr="))
    heads = train_heads(*split(backbone, "train", "val"), recipe.optimizer, [rate], backbone.seed)
    expected = heads.compute_logits(0, split(backbone, "test")[0]).argmax(1)
    assert predictions(both) == expected.tolist()
    alone = run_linear_sgd(backbone, recipe.model_copy(update={"train_on": "train"}), DIGITS)
    assert alone.selection.value == both.selection.value
    assert predictions(alone) != predictions(both)


def test_a_scale_takes_the_same_share_of_both(backbone: FrozenBackbone) -> None:
    some = FrozenBackbone(**{**vars(backbone), "data_scale": 0.1})
    parts = some.get_train_features(), some.get_features("val", some._get_used_indices("val"))
    both = some.get_train_features("train+val")
    assert len(both.labels) == len(parts[0].labels) + len(parts[1].labels)
    assert set(np.bincount(parts[1].labels)) <= {2, 3}, "a tenth of 24 to 29"
