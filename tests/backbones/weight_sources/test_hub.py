"""Repositories of the hub as backbones, and weights of the hub that lie elsewhere; nothing uses the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from backbones.card import BackboneCard, PretrainedWeights
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import locate_weights
from foundation.errors import BenchError
from foundation.files import sha256_file

REPOSITORY = "acme/tiny-vit"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, an empty $BENCH_WEIGHTS, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    (tmp_path / "weights").mkdir()
    return tmp_path / "hub"


def store_in_cache(cache: Path, config: dict[str, Any], with_weights: bool = True) -> dict[str, torch.Tensor]:
    """Lay a repository out as the hub's client does: a reference to a snapshot, and the files in it."""
    folder = cache / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text(json.dumps(config))
    state = create_backbone("timm/vit_tiny_patch16_224", img_size=32, checkpoint="random", depth=1).model.state_dict()
    if with_weights:
        save_file(state, snapshot / "model.safetensors")
    return state


CONFIG = {
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 1000,
    "model_args": {"depth": 1},
    "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "license": "mit"},
}


def test_a_repository_is_a_backbone(cache: Path) -> None:
    state = store_in_cache(cache, CONFIG)
    card = get_card(f"hf-hub:{REPOSITORY}")
    assert (card.mean, card.std, card.input_size) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), (3, 32, 32))
    assert card.weights is not None and card.weights.licence == "mit"
    model, start, _, report = create_backbone(f"hf-hub:{REPOSITORY}")
    assert start.init == "card" and report is not None and report.is_complete
    assert torch.equal(model.state_dict()["pos_embed"], state["pos_embed"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "vit"}, "of the type 'vit', which timm does not have"),
        ({"architecture": "no_such_model"}, "'no_such_model', which timm does not have"),
        ({"architecture": "resnet18", "pretrained_cfg": {"mean": "abc"}}, "is not a configuration of timm"),
    ],
)
def test_what_timm_cannot_load_is_refused(cache: Path, config: dict[str, Any], message: str) -> None:
    store_in_cache(cache, config)
    with pytest.raises(BenchError, match=message):
        get_card(f"hf-hub:{REPOSITORY}")


def test_what_is_not_here_is_named(cache: Path) -> None:
    with pytest.raises(BenchError, match=r"cannot fetch config.json of the hub repository acme/tiny-vit: .*switched"):
        get_card(f"hf-hub:{REPOSITORY}")
    with pytest.raises(BenchError, match="write hf-hub:OWNER/REPO"):
        get_card("hf-hub:tiny")


def test_weights_of_the_hub_also_come_from_the_weights_folder(cache: Path, tmp_path: Path) -> None:
    state = store_in_cache(cache, CONFIG, with_weights=False)
    card = get_card(f"hf-hub:{REPOSITORY}")
    with pytest.raises(BenchError, match=r"put the file into \$BENCH_WEIGHTS as acme_tiny-vit.safetensors"):
        locate_weights(card, None)
    # the file of another owner's repository of the same name is not taken
    save_file(state, tmp_path / "weights" / "tiny-vit.safetensors")
    with pytest.raises(BenchError, match="cannot fetch"):
        locate_weights(card, None)
    file = tmp_path / "weights" / "acme_tiny-vit.safetensors"
    save_file(state, file)
    assert locate_weights(card, None)[:2] == ("card", file)
    # a card of the registry finds them under its own name, too; timm/NAME does not: NAME may be a card of the user
    weights = PretrainedWeights("hf-hub:acme/other", "", "", "")
    file.rename(tmp_path / "weights" / "mine.pth")
    assert locate_weights(BackboneCard("mine", "vit", "", weights=weights), None).init == "card"
    with pytest.raises(BenchError, match="cannot fetch"):
        locate_weights(BackboneCard("timm/mine", "vit", "", weights=weights), None)


def test_a_file_given_by_name_counts_as_the_cards_own_if_it_is(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"some weights")
    digest = sha256_file(tmp_path / "a.safetensors")
    own = PretrainedWeights("hf-hub:acme/other", "", "", "", sha256=digest)
    start = locate_weights(BackboneCard("mine", "vit", "", weights=own), str(tmp_path / "a.safetensors"))
    assert (start.init, start.uri) == ("card", "hf-hub:acme/other")
    other = PretrainedWeights("hf-hub:acme/other", "", "", "")
    start = locate_weights(BackboneCard("mine", "vit", "", weights=other), str(tmp_path / "a.safetensors"))
    assert start.init == "checkpoint"
