"""Weights with a norm after pooling find their place in every use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from backbones.create import create_backbone
from backbones.features import count_class_tokens, extract_pyramid
from backbones.norm_place import place_pooled_norm
from backbones.pooling import has_class_token, norms_pooled_mean
from backbones.registry import get_card
from backbones.weights import InitialWeights, locate_weights
from engine.task import DataReport, RunRequest
from foundation.errors import UserError
from segmentation.plan import resolve_protocol
from segmentation.tasks import CONFIG_DIR
from tests.backbones.checkpoints.weights import random_state

CARD = get_card("vit_pico")
DENSE: dict[str, Any] = {"img_size": 64, "num_classes": 0}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def write_file(folder: Path, pool: str, prefix: str = "") -> tuple[torch.nn.Module, InitialWeights]:
    """Weights of ``vit_pico`` that were trained with a pooling."""
    model = create_backbone(CARD, checkpoint="random", num_classes=3, global_pool=pool).model.eval()
    model.load_state_dict(random_state(model))
    state = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    torch.save(state, folder / f"{pool}.pth")
    return model, locate_weights(CARD, str(folder / f"{pool}.pth"))


@pytest.mark.parametrize("prefix", ["", "backbone.", "net.inner."])
def test_a_file_with_fc_norm_alone_norms_the_mean(prefix: str, tmp_path: Path) -> None:
    assert norms_pooled_mean(CARD, write_file(tmp_path, "avg", prefix)[1])
    assert not norms_pooled_mean(CARD, write_file(tmp_path, "token", prefix)[1])
    assert not norms_pooled_mean(CARD, locate_weights(CARD, "random"))


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    _, start = write_file(tmp_path, "avg")
    assert norms_pooled_mean(CARD, start)
    _, other = write_file(tmp_path, "token")
    assert start.file is not None and other.file is not None
    start.file.write_bytes(other.file.read_bytes())
    assert not norms_pooled_mean(CARD, start)


def test_a_dense_task_takes_the_file(tmp_path: Path) -> None:
    model, start = write_file(tmp_path, "avg")
    request = RunRequest(CARD, start, "linear", "smoke", 0, (), Path(), "cpu")
    data = DataReport("0" * 64, {"train": 40, "val": 8, "test": 8})
    plan = resolve_protocol(CONFIG_DIR / "mini_ade_linear.py", request, data)
    assert plan.backbone_kwargs["global_pool"] == "avg"
    created = request.build_backbone(plan.backbone_kwargs)
    assert created.load_report is not None and created.load_report.is_complete
    image = torch.randn(1, 3, 64, 64)  # the crop of the protocol
    with torch.no_grad():
        got, want = (extract_pyramid(each, image, [2])[0] for each in (created.model.eval(), model))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="does not fit the backbone"):
        create_backbone(CARD, checkpoint=start, **DENSE)


def test_nothing_changes_where_the_place_is_there(tmp_path: Path) -> None:
    assert place_pooled_norm(CARD, write_file(tmp_path, "token")[1], DENSE) == DENSE
    assert place_pooled_norm(CARD, locate_weights(CARD, "random"), DENSE) == DENSE
    # timm's BEiT norms the mean by itself, so no argument is needed and the ids of its runs stay
    beit = get_card("timm/beit_base_patch16_224")
    names = timm.create_model("beit_base_patch16_224", num_classes=0).state_dict()
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "beit.pth")
    start = locate_weights(beit, str(tmp_path / "beit.pth"))
    assert norms_pooled_mean(beit, start)
    assert place_pooled_norm(beit, start, {"num_classes": 0}) == {"num_classes": 0}


def test_a_module_from_memory_is_looked_at() -> None:
    for pool, expected in (("avg", True), ("token", False)):
        module = create_backbone(CARD, checkpoint="random", global_pool=pool).model
        assert norms_pooled_mean(CARD, InitialWeights("memory", None, None, module, "0" * 64, 1)) is expected


def test_only_the_built_model_tells_how_attention_pools() -> None:
    # CLIP's ResNet has a grid in front of its head, and pools it with a token of its own
    assert has_class_token(get_card("timm/resnet50_clip")) is None
    assert count_class_tokens(timm.create_model("resnet50_clip", num_classes=0, global_pool="token")) == 1
    for name in ("timm/resnet18", "timm/resnet50_clip_gap"):
        assert has_class_token(get_card(name)) is False
