"""How the features of a frozen backbone are pooled: as the protocol says, or as the backbone can, and said."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import pytest

import backbones.create
from backbones.pooling import make_pooling_error
from backbones.refusals import PatchSizeError, PoolingError, restore_refusal, store_refusal
from backbones.registry import get_card
from backbones.weights import InitialWeights, InitKind
from benchmarks.cell_record import list_changed_settings
from classification.image_tasks import CONFIG_DIR
from classification.plan import resolve_protocol
from engine.task import DataReport, RunPlan, RunRequest, Task


class PlanningTask:
    """Plans by the protocols for photographs, without any."""

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        file = CONFIG_DIR / f"images_{request.protocol}.py"
        return resolve_protocol(file, request, num_classes=2, data=data, is_photo_set=True)


TASK = cast(Task, PlanningTask())
DATA = DataReport(
    "0" * 64,
    {"train": 400, "val": 40, "test": 40},
    class_counts={split: {"a": 200, "b": 200} for split in ("train", "val", "test")},
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))


def make_request(backbone: str, *overrides: str, protocol: str = "knn", init: InitKind = "random") -> RunRequest:
    start = InitialWeights(init, None, None)
    return RunRequest(get_card(backbone), start, protocol, "full", 0, overrides, Path(), "cpu")


def plan(request: RunRequest) -> RunPlan:
    return TASK.plan(request, DATA)


def get_pool(request: RunRequest) -> str:
    found = plan(request)
    assert found.config["recipe"]["pool"] == found.backbone_kwargs["global_pool"]
    return str(found.config["recipe"]["pool"])


@pytest.mark.parametrize("protocol", ["knn", "linear", "linear_sgd", "lowshot"])
def test_a_class_token_is_used_where_the_protocol_says_so(protocol: str) -> None:
    found = plan(make_request("timm/test_vit", protocol=protocol))
    assert found.config["recipe"]["pool"] == "token"
    assert (found.file_settings, found.notes) == ({}, ())


@pytest.mark.parametrize("backbone", ["swin_lite", "timm/test_resnet", "timm/test_vit_relpos", "timm/test_coatnet"])
def test_without_a_class_token_the_mean_is_used_and_said(backbone: str) -> None:
    adapted = plan(make_request(backbone))
    asked = plan(make_request(backbone, "pool=avg"))
    # the same id and the same board: nothing else of a plan enters them
    assert adapted.config == asked.config
    assert adapted.backbone_kwargs == asked.backbone_kwargs
    assert adapted.file_settings == {"pool": "token"}
    assert adapted.notes[0].startswith(f"{backbone} is pooled by avg, not by token as the protocol says: ")
    assert asked.notes == ()
    for request, found in ((make_request(backbone), adapted), (make_request(backbone, "pool=avg"), asked)):
        assert list_changed_settings(TASK, request, DATA, found) == ["pool"]
    with pytest.raises(PoolingError, match=r"cannot be pooled by token: .*; set pool=avg"):
        plan(make_request(backbone, "pool=token"))


def test_weights_that_norm_the_mean() -> None:
    """The papers' supervised reference has fc_norm and no norm; random weights have neither."""
    assert get_pool(make_request("deit_tiny_12h", init="card")) == "avg"
    assert get_pool(make_request("deit_tiny_12h")) == "token"
    assert get_pool(make_request("deit_tiny_12h", init="checkpoint")) == "token"
    with pytest.raises(PoolingError, match=r"norm the mean of the patch tokens \(fc_norm\)"):
        plan(make_request("deit_tiny_12h", "pool=token", init="card"))


def test_a_refusal_is_not_found_out_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan(make_request("timm/test_vit_relpos"))

    def create_none(*_: Any, **__: Any) -> None:
        raise AssertionError("the cache knows")

    monkeypatch.setattr(backbones.create, "create_backbone", create_none)
    assert plan(make_request("timm/test_vit_relpos")) == first


def test_refusals_survive_a_cache_and_another_process() -> None:
    pooling, patch = make_pooling_error("x", "token", "why"), PatchSizeError("no", (14, 16))
    for error in (pooling, patch):
        for again in (restore_refusal(store_refusal(error)), pickle.loads(pickle.dumps(error))):
            assert type(again) is type(error)
            assert (str(again), vars(again)) == (str(error), vars(error))
