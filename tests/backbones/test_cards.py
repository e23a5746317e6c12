from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from backbones.create import create_backbone
from backbones.registry import BACKBONES, get_card
from backbones.weights import locate_weights
from foundation.errors import CheckpointError

PAPERS = [
    "vit_tiny",
    "vit_small",
    "deit_tiny",
    "deit_tiny_12h",
    "mae_tiny",
    "mae_small",
    "mae_base",
    "mae_distill_tiny",
    "mae_distill_small",
    "mae_d2_tiny",
    "mae_d2_tiny_ft_rpe",
    "mocov3_tiny",
    "beit_tiny",
    "bootmae_tiny",
    "maskfeat_tiny",
    "mae_hiera",
    "mae_distill_hiera",
    "simmim_swin",
    "simmim_d2_swin",
    "mae_vit_cifar",
]
ARCHITECTURES = [
    "vit_nano",
    "vit_pico",
    "vit_micro",
    "vit_cifar",
    "vit_base",
    "vit_tiny_rpe",
    "vit_small_rpe",
    "hiera_lite",
    "swin_lite",
]
CONVOLUTIONAL = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
NAMES = PAPERS + ARCHITECTURES + CONVOLUTIONAL
WITH_WEIGHTS = [name for name in PAPERS if name not in ("vit_tiny", "vit_small")]


def test_the_list_is_whole() -> None:
    assert sorted(NAMES) == [name for name in BACKBONES.list_names() if BACKBONES.get_origin(name) == "bench"]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_becomes_a_model(name: str) -> None:
    card = get_card(name)
    assert card.name == name
    # weights of base size are slow to draw, and the meta device knows everything asked here
    with torch.device("meta"):
        model = create_backbone(name, checkpoint="random", num_classes=7).model.eval()
        features = model.forward_features(torch.empty(1, *card.input_size))
        taps = model.forward_intermediates(
            torch.empty(1, *card.input_size), indices=None, output_fmt="NCHW", intermediates_only=True
        )
    assert [tap.shape[1] for tap in taps] == [info["num_chs"] for info in model.feature_info]
    # a side that is no multiple is padded by convolutions that keep the size ("same")
    assert [tap.shape[-1] for tap in taps] == [-(-card.input_size[-1] // f["reduction"]) for f in model.feature_info]
    assert features.shape[0] == 1
    assert getattr(model, "num_prefix_tokens", 0) == card.prefix_tokens
    heads = {block.attn.num_heads for block in model.blocks} if card.heads else {None}
    assert heads == {card.heads}
    assert (card.heads is None) == (card.prefix_tokens == 0)  # every plain ViT says its heads


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_plain_data_and_says_what_it_must(name: str) -> None:
    card = get_card(name)
    assert json.loads(json.dumps(card.as_dict())) == card.as_dict()
    assert card.summary
    assert all("(" in fact and ")" in fact for fact in card.facts.values()), "a published number names its source"
    assert (card.weights is not None) == (name in WITH_WEIGHTS + CONVOLUTIONAL)
    if card.weights:
        assert all((card.weights.recipe, card.weights.source, card.weights.licence))


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_that_are_not_there_are_never_random(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    uri = get_card(name).weights.uri
    if uri.startswith("hf-hub:"):
        pytest.skip("fetched from the hub")
    file = uri.removeprefix("file:")
    with pytest.raises(CheckpointError, match=file) as caught:
        locate_weights(get_card(name), None)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_names_are_not_shared() -> None:
    uris = [get_card(name).weights.uri for name in WITH_WEIGHTS]
    assert len(set(uris)) == len(uris)


@pytest.mark.parametrize("file", ["mae_tiny_400e.pth.tar", "mae_tiny.pth", "mae_tiny.pth.tar", "mae_tiny.safetensors"])
def test_a_file_fetched_by_hand_is_found(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    (tmp_path / "mae_tiny_distill.pth").touch()
    (tmp_path / file).touch()
    start = locate_weights(get_card("mae_tiny"), None)
    assert (start.init, start.file) == ("card", tmp_path / file)


def test_two_files_for_one_card_are_not_guessed_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    (tmp_path / "mae_tiny.pth").touch()
    (tmp_path / "mae_tiny_400e.pth.tar").touch()
    with pytest.raises(CheckpointError, match=r"mae_tiny_400e\.pth\.tar and mae_tiny\.pth"):
        locate_weights(get_card("mae_tiny"), None)


def test_cards_import_no_torch() -> None:
    code = (
        "import sys; from backbones.registry import BACKBONES; "
        "assert not [e for e in BACKBONES.list_entries() if e.error]; "
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
