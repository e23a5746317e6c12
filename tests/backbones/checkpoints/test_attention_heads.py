"""The head-count check: finds a wrong count in trained weights, and never cries wolf over random ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from backbones.checkpoints.attention_heads import check_head_count
from backbones.checkpoints.load_weights import load_tensors, load_weight_file
from backbones.checkpoints.read_checkpoint import read_weights
from foundation.errors import CheckpointError
from tests.backbones.checkpoints.weights import (
    backbone_state,
    mae_checkpoint,
    make_beit,
    make_vit,
    random_state,
    write_checkpoint,
)


@pytest.mark.shared_data
@pytest.mark.parametrize("heads", [2, 4, 6, 12])
def test_deit_tiny_with_a_wrong_count_is_caught(deit_file: Path, heads: int) -> None:
    file = read_weights(deit_file)
    model = timm.create_model("vit_tiny_patch16_224", num_heads=heads)
    with pytest.raises(CheckpointError, match=rf"has 3 attention heads .* the backbone has {heads}"):
        load_weight_file(model, file, allow_partial=False)


@pytest.mark.shared_data
def test_deit_tiny_with_its_own_count_is_confirmed(deit_file: Path) -> None:
    file = read_weights(deit_file)
    report = load_weight_file(timm.create_model("deit_tiny_patch16_224"), file, allow_partial=False)
    assert any("head count 3 agrees with the structure" in note for note in report.notes)


@pytest.mark.shared_data
def test_a_contradiction_can_be_accepted_and_is_said(deit_file: Path) -> None:
    file = read_weights(deit_file)
    model = timm.create_model("vit_tiny_patch16_224", num_heads=12)
    report = load_weight_file(model, file, allow_partial=True)
    assert any(
        note.startswith("accepted with --allow-partial") and "3 attention heads" in note for note in report.notes
    )


def structured(heads: int, width: int = 64, layers: int = 4, seed: int = 0) -> tuple[nn.Module, dict[str, Tensor]]:
    """A ViT whose heads differ in strength, as training makes them; half of the layers only weakly."""
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=width, depth=layers, num_heads=heads
    )
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for name, value in state.items():
        if name.endswith(("attn.qkv.weight", "attn.proj.weight")):
            strength = torch.rand(heads, generator=generator).mul(0.5).exp().repeat_interleave(width // heads)
            value *= strength.repeat(3)[:, None] if "qkv" in name else strength
    return model, state


def judge(state: Mapping[str, Tensor], heads: int, width: int = 64, layers: int = 4) -> list[str]:
    model, _ = structured(heads, width, layers)
    return check_head_count(model, state, {}, "file")


@pytest.mark.parametrize("true", [2, 4, 8])
def test_structure_tells_the_count(true: int) -> None:
    """Whatever is assumed, the true count is never refused, and no other is ever confirmed."""
    for seed in range(5):
        _, state = structured(true, seed=seed)
        for assumed in (2, 4, 8):
            try:
                notes = judge(state, assumed)
            except CheckpointError as error:
                assert assumed != true
                assert f"has {true} attention heads" in str(error)
            else:
                assert assumed == true or "cannot be decided" in notes[0]


def test_most_wrong_counts_are_refused() -> None:
    refused = 0
    for seed in range(10):
        _, state = structured(4, seed=seed)
        for assumed in (2, 8):
            try:
                judge(state, assumed)
            except CheckpointError:
                refused += 1
    assert refused >= 8


@pytest.mark.parametrize(
    ("width", "layers", "heads"), [(64, 4, 4), (32, 3, 2), (48, 2, 3), (96, 6, 6), (192, 3, 12), (192, 3, 3)]
)
def test_random_weights_are_undecidable(width: int, layers: int, heads: int) -> None:
    for seed in range(8):
        torch.manual_seed(seed)
        model = timm.create_model(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=width, depth=layers, num_heads=heads
        )
        (note,) = check_head_count(model, model.state_dict(), {}, "file")
        assert note == f"head count cannot be decided from the file; the card's {heads} is assumed"


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_heads": 12},
        {"num_heads": "12"},
        {"model": "mae_vit_base_patch16"},
        {"model": "vit_tiny_patch16_224", "model_kwargs": {"num_heads": 12}},
        {"encoder_arch": "mae_vit_tiny_patch16"},
    ],
)
def test_the_files_own_words_count(arguments: dict[str, Any]) -> None:
    state = random_state(make_vit())
    with pytest.raises(CheckpointError, match=r"has 12 attention heads by its own argument .* has 3"):
        load_tensors(make_vit(), state, allow_partial=False, source="file", arguments=arguments)
    report = load_tensors(make_vit(num_heads=12), state, allow_partial=False, source="file", arguments=arguments)
    assert any("head count 12 agrees with the checkpoint's own" in note for note in report.notes)


def test_of_a_finished_model_no_other_count_can_be_accepted() -> None:
    """So no option that accepts it is offered: bench evaluate has none."""
    state = make_vit().state_dict()
    messages = []
    for with_head in (False, True):
        with pytest.raises(CheckpointError, match="has 12 attention heads by its own") as caught:
            load_tensors(
                make_vit(),
                state,
                allow_partial=False,
                source="file",
                arguments={"num_heads": 12},
                with_head=with_head,
            )
        messages.append("--allow-partial" in str(caught.value))
    assert messages == [True, False]


@pytest.mark.parametrize("arguments", [{"num_heads": None}, {"num_heads": True}, {"model": "resnet50"}, {"model": 3}])
def test_words_that_say_nothing(arguments: dict[str, Any]) -> None:
    report = load_tensors(make_vit(), random_state(make_vit()), allow_partial=False, source="file", arguments=arguments)
    assert any("cannot be decided" in note for note in report.notes)


def test_namespace_in_a_file_is_read(tmp_path: Path) -> None:
    file = read_weights(write_checkpoint(mae_checkpoint(), tmp_path / "w.pth"))
    assert file.arguments["num_heads"] == 3
    with pytest.raises(CheckpointError, match="num_heads=3"):
        load_weight_file(make_vit(num_heads=12), file, allow_partial=False)


def test_tables_fix_the_count_by_shape() -> None:
    report = load_tensors(make_beit(), backbone_state(make_beit()), allow_partial=False, source="file")
    assert any("fixed by the shape of the relative-position tables" in note for note in report.notes)


def test_the_card_counts() -> None:
    with pytest.raises(CheckpointError, match="has 12 attention heads by its card"):
        load_tensors(make_vit(), random_state(make_vit()), allow_partial=False, source="file", card_heads=12)
    assert load_tensors(
        make_vit(), random_state(make_vit()), allow_partial=False, source="file", card_heads=3
    ).is_complete
