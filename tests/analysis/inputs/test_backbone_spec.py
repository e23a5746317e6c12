"""A backbone as it is made to be looked into."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from analysis.inputs.backbone_spec import resolve_backbone
from analysis.request import BackboneChoice
from backbones.checkpoints.earlier_loading import GRID_FOUND
from backbones.create import create_backbone
from foundation.errors import CheckpointError
from foundation.files import sha256_file


def test_weights_fine_tuned_on_pooled_tokens_keep_their_norm(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tuned = create_backbone("vit_pico", num_classes=10, global_pool="avg").model
    torch.nn.init.normal_(tuned.fc_norm.weight)  # type: ignore[arg-type, union-attr]
    save_file(tuned.state_dict(), tmp_path / "tuned.safetensors")
    one = resolve_backbone(BackboneChoice("vit_pico", str(tmp_path / "tuned.safetensors")))
    assert one.model_arguments == {"img_size": 32, "num_classes": 0, "global_pool": "avg"}
    model = one.build_model("cpu")
    assert torch.equal(model.fc_norm.weight, tuned.fc_norm.weight)  # type: ignore[arg-type, union-attr]
    described = one.to_record()
    assert described.checkpoint is not None
    assert described.checkpoint.sha256 == sha256_file(tmp_path / "tuned.safetensors")
    assert described.checkpoint.load_report is not None
    assert described.checkpoint.load_report.missing == []


def test_random_weights_go_by_the_seed_and_loaded_ones_do_not(tmp_path: Path) -> None:
    assert (
        resolve_backbone(BackboneChoice("vit_pico"), seed=1).identity()
        != resolve_backbone(BackboneChoice("vit_pico"), seed=2).identity()
    )
    first, again, other = (
        resolve_backbone(BackboneChoice("vit_pico"), seed=seed).build_model("cpu").state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["pos_embed"], other["pos_embed"])
    save_file(first, tmp_path / "first.safetensors")
    loaded = [
        resolve_backbone(BackboneChoice("vit_pico", str(tmp_path / "first.safetensors")), seed=seed).identity()
        for seed in (1, 2)
    ]
    assert loaded[0] == loaded[1]
    assert "loading_fixes" not in loaded[0]


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_file(create_backbone("vit_pico").model.state_dict(), tmp_path / "pico.safetensors")
    with pytest.raises(CheckpointError, match="does not fit the backbone"):
        resolve_backbone(BackboneChoice("vit_nano", str(tmp_path / "pico.safetensors"))).build_model("cpu")


def test_positions_that_are_read_in_another_grid_than_before_change_the_id(tmp_path: Path) -> None:
    wide = create_backbone("vit_pico", checkpoint="random", img_size=(16, 64)).model.state_dict()
    torch.save(wide, tmp_path / "plain.pth")
    torch.save({"model": wide, "args": {"img_size": [16, 64]}}, tmp_path / "stated.pth")
    plain, stated = (
        resolve_backbone(BackboneChoice("vit_pico", str(tmp_path / f"{name}.pth"))) for name in ("plain", "stated")
    )
    # 2 x 8 positions were taken for 4 x 4
    assert "loading_fixes" not in plain.identity()
    assert stated.identity()["loading_fixes"] == [GRID_FOUND]
    checkpoint = stated.to_record().checkpoint
    assert checkpoint is not None
    assert checkpoint.loading_fixes == [GRID_FOUND]


def test_the_norm_after_pooling_changes_no_id(tmp_path: Path) -> None:
    tuned = create_backbone("vit_pico", checkpoint="random", global_pool="avg").model
    torch.nn.init.normal_(tuned.fc_norm.weight)  # type: ignore[arg-type, union-attr]
    save_file(tuned.state_dict(), tmp_path / "tuned.safetensors")
    # analyses loaded it before, too
    choice = BackboneChoice("vit_pico", str(tmp_path / "tuned.safetensors"))
    assert "loading_fixes" not in resolve_backbone(choice).identity()
