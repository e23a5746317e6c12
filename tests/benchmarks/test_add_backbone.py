"""A weight file becomes a backbone with a name: what the file tells is not asked, what it does not is not guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from backbones.create import create_backbone
from backbones.file_cards import propose_architecture
from backbones.file_cards.choose_candidate import choose_normalization
from backbones.user_cards import read_card
from backbones.weights import locate_weights
from benchmarks import add_backbone
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
        "mine",
        folders / "a.safetensors",
        architecture="vit_pico",
        mean=[0.5] * 3,
        std=[0.5] * 3,
        licence="MIT",
        label="my pico",
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
        add_checkpoint("mine", folders / "a.safetensors", architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3)


def test_the_architecture_is_proposed_from_the_shapes(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_vit_pico(folders / "a.safetensors")
    monkeypatch.setattr(propose_architecture, "_PLAIN_VIT_MODULES", ("timm.models.deit",))  # fewer to build
    added = add_checkpoint("mine", folders / "a.safetensors", mean=[0.5] * 3, std=[0.5] * 3)
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
        add_checkpoint("mine", folders / "a.safetensors", architecture="vit_nano", mean=[0.5] * 3, std=[0.5] * 3)
    with pytest.raises(BenchError, match="is an address"):
        add_checkpoint("mine", "https://example.org/a.pth", mean=[0.5] * 3, std=[0.5] * 3)
    assert not (tmp_path / "cards").exists() and not (tmp_path / "weights").exists()


def test_the_chosen_version_of_the_weights_is_kept(folders: Path) -> None:
    plain, average = (create_backbone("vit_pico", checkpoint="random").model.state_dict() for _ in range(2))
    torch.save({"model": plain, "model_ema": average}, folders / "a.pth")
    names = {"mine": None, "plain": "model"}
    for name, key in names.items():
        add_checkpoint(name, folders / "a.pth", architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3, weights_key=key)
    for name, state in (("mine", average), ("plain", plain)):
        loaded = create_backbone(read_card(name)).model.state_dict()
        assert torch.equal(loaded["pos_embed"], state["pos_embed"])


def test_weights_that_lie_where_the_new_ones_go_are_never_mistaken_for_them(folders: Path, tmp_path: Path) -> None:
    plain, average = (create_backbone("vit_pico", checkpoint="random").model.state_dict() for _ in range(2))
    (tmp_path / "weights").mkdir()
    mine = tmp_path / "weights" / "mine.pth"
    torch.save({"model": plain, "model_ema": average}, mine)
    # the card would have named the whole file, and started from its average
    with pytest.raises(BenchError, match="is there already"):
        add_checkpoint("mine", mine, architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3, weights_key="model")
    assert not (tmp_path / "cards").exists()
    # as a whole it may stay where it is
    assert add_checkpoint("mine", mine, architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3).weights_path == mine
    assert (
        add_checkpoint("mine", mine, architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3, replace=True).weights_path
        == mine
    )


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".bin"])
def test_a_file_of_the_user_is_never_overwritten(folders: Path, tmp_path: Path, ending: str) -> None:
    save_vit_pico(folders / "a.safetensors")
    (tmp_path / "weights").mkdir()
    taken = tmp_path / "weights" / f"mine{ending}"
    taken.write_bytes(b"a file of the user")
    for replace in (False, True):
        with pytest.raises(BenchError, match="is there already"):
            add_checkpoint(
                "mine",
                folders / "a.safetensors",
                architecture="vit_pico",
                mean=[0.5] * 3,
                std=[0.5] * 3,
                replace=replace,
            )
    assert taken.read_bytes() == b"a file of the user"
    assert not (tmp_path / "cards").exists()


def test_a_card_is_replaced_by_a_file_with_another_ending(folders: Path, tmp_path: Path) -> None:
    first, second = save_vit_pico(folders / "a.safetensors"), save_vit_pico(folders / "b.safetensors")
    torch.save(first, folders / "a.pth")
    add_checkpoint("mine", folders / "a.pth", architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3)
    options = {"architecture": "vit_pico", "mean": HALF, "std": HALF, "replace": True}
    for _ in range(2):  # an interrupted replacement is done again in the same way
        add_checkpoint("mine", folders / "b.safetensors", **options)
        assert [path.name for path in (tmp_path / "weights").iterdir()] == ["mine.safetensors"]
        assert torch.equal(create_backbone(read_card("mine")).model.state_dict()["pos_embed"], second["pos_embed"])


def test_sharded_weights_become_one_file(folders: Path) -> None:
    state = create_backbone("vit_pico", checkpoint="random").model.state_dict()
    names = sorted(state)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, own in shards.items():
        save_file({name: state[name] for name in own}, folders / shard)
    index = {"weight_map": {name: shard for shard, own in shards.items() for name in own}}
    (folders / "model.safetensors.index.json").write_text(json.dumps(index))
    add_checkpoint("mine", folders, architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3)
    loaded = create_backbone(read_card("mine")).model.state_dict()
    assert torch.equal(loaded["pos_embed"], state["pos_embed"])


def test_a_file_that_changes_while_it_is_added_is_refused(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_vit_pico(folders / "a.safetensors")

    def choose_and_change(*arguments: Any) -> Any:
        save_vit_pico(folders / "a.safetensors")
        return choose_normalization(*arguments)

    monkeypatch.setattr(add_backbone, "choose_normalization", choose_and_change)
    with pytest.raises(BenchError, match="has changed while it was added"):
        add_checkpoint("mine", folders / "a.safetensors", architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3)
    assert not (tmp_path / "cards").exists() and not list((tmp_path / "weights").iterdir())


@pytest.mark.soak
def test_a_configuration_of_another_architecture_says_nothing_of_the_file(folders: Path) -> None:
    save_file(create_backbone("timm/test_vit", checkpoint="random").model.state_dict(), folders / "a.safetensors")
    config: dict[str, Any] = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3}}
    (folders / "config.json").write_text(json.dumps(config))
    with pytest.raises(BenchError, match="is of another architecture"):
        add_checkpoint("mine", folders / "a.safetensors", architecture="timm/test_vit")
    (folders / "config.json").write_text(json.dumps({**config, "architecture": "test_vit"}))
    added = add_checkpoint("mine", folders / "a.safetensors", architecture="timm/test_vit")
    assert (added.card.mean, added.input_source) == ((0.1,) * 3, "config.json beside the file")


@pytest.mark.parametrize(
    ("content", "mean", "std"),
    [
        ({"do_normalize": False}, 0, 1),
        ({"image_mean": HALF, "image_std": HALF, "rescale_factor": 1 / 255}, 0.5, 0.5),
        # pixels of -1 to 1 before mean and std
        ({"image_mean": [0] * 3, "image_std": [1] * 3, "rescale_factor": 1 / 127.5, "rescale_offset": True}, 0.5, 0.5),
    ],
)
def test_a_preprocessor_may_rescale_and_not_normalize(
    folders: Path, content: dict[str, Any], mean: float, std: float
) -> None:
    save_vit_pico(folders / "a.safetensors")
    (folders / "preprocessor_config.json").write_text(json.dumps(content))
    added = add_checkpoint("mine", folders / "a.safetensors", architecture="vit_pico")
    assert added.card.mean == pytest.approx((mean,) * 3) and added.card.std == pytest.approx((std,) * 3)


def test_an_unusable_mean_is_not_said_to_be_an_option_of_the_user(folders: Path) -> None:
    save_vit_pico(folders / "a.safetensors")
    content = {"image_mean": [127.5] * 3, "image_std": [127.5] * 3}
    (folders / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(BenchError, match=r"preprocessor_config.json beside .* for pixels from 0 to 255"):
        add_checkpoint("mine", folders / "a.safetensors", architecture="vit_pico")


@pytest.mark.parametrize("variable", ["BENCH_CARDS", "BENCH_WEIGHTS"])
def test_a_file_in_place_of_a_folder_is_one_sentence(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(create_backbone("vit_pico", checkpoint="random").model.state_dict(), tmp_path / "mine.pth")
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "taken"))
    with pytest.raises(BenchError, match=r"taken"):
        add_checkpoint("mine", tmp_path / "mine.pth", architecture="vit_pico", mean=[0.5] * 3, std=[0.5] * 3)
