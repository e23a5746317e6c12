"""A weight file becomes a backbone with a name: what the file tells is not asked, what it does not is not guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from backbones.create import create_backbone
from backbones.file_cards import propose_architecture
from backbones.user_cards import read_card
from backbones.weights import locate_weights
from benchmarks.add_backbone import add_checkpoint
from foundation.errors import BenchError

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of cards and weights of this test alone; returns the folder of the user's file."""
    monkeypatch.setenv("BENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def save_vit_pico(path: Path) -> dict[str, torch.Tensor]:
    state = create_backbone("vit_pico", checkpoint="random").model.state_dict()
    save_file(state, path)
    return state


def test_a_file_becomes_a_card(folders: Path) -> None:
    state = save_vit_pico(folders / "a.safetensors")
    added = add_checkpoint(
        "mine", folders / "a.safetensors", architecture="vit_pico", mean=HALF, std=HALF, licence="MIT", label="my pico"
    )
    card = read_card("mine")
    assert (card.mean, card.std, card.summary, card.heads) == (HALF, HALF, "my pico", added.chosen.heads)
    assert card.weights is not None and card.weights.licence == "MIT"
    start = locate_weights(card, None)
    assert start.init == "card" and start.file == added.weights_path
    made = create_backbone(card)
    assert torch.equal(made.model.state_dict()["pos_embed"], state["pos_embed"])
    # the same file by its path is the same start, and the same id
    assert locate_weights(card, str(folders / "a.safetensors")).init == "card"
    with pytest.raises(BenchError, match="was added before"):
        add_checkpoint("mine", folders / "a.safetensors", architecture="vit_pico", mean=HALF, std=HALF)


def test_the_architecture_is_proposed_from_the_shapes(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_vit_pico(folders / "a.safetensors")
    monkeypatch.setattr(propose_architecture, "_PLAIN_VIT_MODULES", ("timm.models.deit",))  # fewer to build
    added = add_checkpoint("mine", folders / "a.safetensors", mean=HALF, std=HALF)
    assert (added.chosen.names[0], added.card.input_size) == ("vit_pico", (3, 32, 32))


def test_a_file_that_names_its_architecture_is_believed_if_it_fits(folders: Path) -> None:
    state = create_backbone("timm/resnet18", checkpoint="random", num_classes=0).model.state_dict()
    torch.save({"arch": "resnet18", "state_dict": state}, folders / "a.pth")
    added = add_checkpoint("mine", folders / "a.pth")
    # all weights of timm's ResNet-18 have the same mean and std, so nothing is asked
    assert (added.card.architecture, added.card.mean) == ("resnet18", (0.485, 0.456, 0.406))


def test_mean_and_std_are_required_where_nobody_states_them(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propose_architecture, "_PLAIN_VIT_MODULES", ("timm.models.deit",))  # fewer to build
    state = create_backbone("timm/vit_tiny_patch16_224", checkpoint="random").model.state_dict()
    save_file(state, folders / "a.safetensors")
    with pytest.raises(BenchError, match=r"disagree|nothing states") as caught:
        add_checkpoint("mine", folders / "a.safetensors", architecture="timm/vit_tiny_patch16_224")
    assert "--mean and --std" in str(caught.value)
    (folders / "preprocessor_config.json").write_text(json.dumps({"image_mean": HALF, "image_std": [0.25] * 3}))
    added = add_checkpoint("mine", folders / "a.safetensors", architecture="vit_tiny_patch16_224")
    assert (added.card.mean, added.card.std) == (HALF, (0.25, 0.25, 0.25))
    with pytest.raises(BenchError, match="--mean needs --std"):
        add_checkpoint("mine", folders / "a.safetensors", architecture="vit_tiny_patch16_224", mean=HALF, replace=True)


def test_what_does_not_fit_writes_nothing(folders: Path, tmp_path: Path) -> None:
    save_vit_pico(folders / "a.safetensors")
    with pytest.raises(BenchError, match="does not fit the backbone"):
        add_checkpoint("mine", folders / "a.safetensors", architecture="vit_nano", mean=HALF, std=HALF)
    with pytest.raises(BenchError, match="is an address"):
        add_checkpoint("mine", "https://example.org/a.pth", mean=HALF, std=HALF)
    assert not (tmp_path / "cards").exists() and not (tmp_path / "weights").exists()


def test_the_chosen_version_of_the_weights_is_kept(folders: Path) -> None:
    plain, average = (create_backbone("vit_pico", checkpoint="random").model.state_dict() for _ in range(2))
    torch.save({"model": plain, "model_ema": average}, folders / "a.pth")
    names = {"mine": None, "plain": "model"}
    for name, key in names.items():
        add_checkpoint(name, folders / "a.pth", architecture="vit_pico", mean=HALF, std=HALF, weights_key=key)
    for name, state in (("mine", average), ("plain", plain)):
        loaded = create_backbone(read_card(name)).model.state_dict()
        assert torch.equal(loaded["pos_embed"], state["pos_embed"])
