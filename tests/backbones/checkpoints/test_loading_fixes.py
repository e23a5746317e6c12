"""An id names a correction of the loading where the loaded numbers are others than before, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from backbones.checkpoints.earlier_loading import FC_NORM_KEPT, GRID_FOUND, TABLES_RESIZED
from backbones.checkpoints.loading_fixes import list_loading_fixes
from backbones.create import create_backbone
from backbones.memory_modules.memory_module import make_memory_card
from backbones.registry import get_card
from backbones.weights import InitialWeights
from benchmarks.resolve_cell import CellRequest, identify_cell, resolve_cell_parts
from tests.backbones.checkpoints.sizes.test_grids import make_waves

State = dict[str, Tensor]


def make_module(**arguments: Any) -> Any:
    return create_backbone("vit_pico", checkpoint="random", num_classes=3, **arguments).model


def make_state(**arguments: Any) -> State:
    """A ViT with 4x4 patches of 8 px, and random numbers in its norms."""
    torch.manual_seed(0)
    state = make_module(**arguments).state_dict()
    return {name: torch.randn_like(value) if "norm" in name else value for name, value in state.items()}


def list_fixes(state: Any, folder: Path, name: str = "vit_pico", init: Any = "checkpoint", **kwargs: Any) -> list[str]:
    torch.save(state, folder / "weights.pth")
    allow_partial = kwargs.pop("allow_partial", False)
    start = InitialWeights(init, folder / "weights.pth", "weights.pth")
    return list_loading_fixes(get_card(name), start, kwargs, allow_partial=allow_partial)


def test_plain_weights_keep_their_ids(tmp_path: Path) -> None:
    for pool in ("token", "avg"):
        for size in (32, 64, (32, 64), (16, 48)):
            arguments = {"img_size": size, "num_classes": 0, "global_pool": pool}
            assert list_fixes(make_state(), tmp_path, **arguments) == []
            assert list_fixes(make_state(), tmp_path, **arguments, allow_partial=True) == []
    assert list_loading_fixes(get_card("vit_pico"), InitialWeights("random", None, None), {"img_size": (32, 64)}) == []


def test_a_norm_after_pooling_that_is_kept_is_named(tmp_path: Path) -> None:
    tuned = make_state(global_pool="avg")
    assert list_fixes(tuned, tmp_path, num_classes=0, global_pool="avg") == [FC_NORM_KEPT]
    wrapped = {"model": {f"module.{name}": value for name, value in tuned.items()}}
    assert list_fixes(wrapped, tmp_path, num_classes=0, global_pool="avg") == [FC_NORM_KEPT]
    # one that was never trained is what a new one is
    fresh = make_module(global_pool="avg").state_dict()
    assert list_fixes(fresh, tmp_path, num_classes=0, global_pool="avg") == []


def test_a_grid_that_was_taken_for_square_is_named(tmp_path: Path) -> None:
    wide = make_state(img_size=(16, 64))  # 2x8 patches, as many as 4x4
    assert list_fixes(wide, tmp_path, img_size=(16, 64)) == [GRID_FOUND]
    assert list_fixes(wide, tmp_path, img_size=(16, 48)) == []  # a square was assumed before, and is now
    assert list_fixes({"model": wide, "args": {"img_size": [16, 64]}}, tmp_path, img_size=(16, 48)) == [GRID_FOUND]
    assert list_fixes({"model": wide, "args": {"img_size": [16, 64]}}, tmp_path, img_size=32) == [GRID_FOUND]
    # so does the size that a card states of its own weights, and of no other's
    card = replace(get_card("vit_pico"), input_size=(3, 16, 64))
    torch.save(wide, tmp_path / "wide.pth")
    for init, expected in (("card", [GRID_FOUND]), ("checkpoint", [])):
        start = InitialWeights(init, tmp_path / "wide.pth", "wide.pth")
        assert list_loading_fixes(card, start, {"img_size": 32, "num_classes": 0}) == expected
    # what is known to be square is loaded as before: by the card, by the file, by the structure
    square = make_state()
    assert list_fixes(square, tmp_path, init="card", img_size=(16, 64)) == []
    assert list_fixes({"model": square, "args": {"input_size": 32}}, tmp_path, img_size=(16, 64)) == []
    width = square["cls_token"].shape[-1]
    square["pos_embed"] = torch.cat([torch.zeros(1, width), make_waves(4, 4, width)])[None]
    assert list_fixes(square, tmp_path, img_size=(16, 64)) == []
    # what was refused before has no number that could have changed
    assert list_fixes(make_state(img_size=(32, 56)), tmp_path, img_size=(16, 64)) == []


def test_positions_of_patches_that_are_not_square_are_named(tmp_path: Path) -> None:
    flat = replace(get_card("vit_pico"), arguments={"patch_size": (4, 16)})  # 8 x 2 patches, as many as 4 x 4
    state = create_backbone(flat, checkpoint="random").model.state_dict()
    torch.save(state, tmp_path / "flat.pth")
    for init in ("card", "checkpoint"):
        start = InitialWeights(init, tmp_path / "flat.pth", "flat.pth")  # type: ignore[arg-type]
        loaded = create_backbone(flat, checkpoint=start).model.state_dict()
        assert torch.equal(loaded["pos_embed"], state["pos_embed"])
        assert list_loading_fixes(flat, start, {"img_size": 32, "num_classes": 0}) == [GRID_FOUND]


def test_tables_that_were_left_out_of_a_partial_load_are_named(tmp_path: Path) -> None:
    state = create_backbone("timm/levit_128s", checkpoint="random").model.state_dict()
    sized = {"img_size": 256, "num_classes": 0}
    assert list_fixes(state, tmp_path, "timm/levit_128s", **sized, allow_partial=True) == [TABLES_RESIZED]
    assert list_fixes(state, tmp_path, "timm/levit_128s", **sized) == []


def test_a_module_from_memory_is_named_like_its_file() -> None:
    module = make_module(global_pool="avg")
    torch.nn.init.normal_(module.fc_norm.weight)
    given = {"name": "mine", "mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": (3, 32, 32)}
    card, start = make_memory_card(module, **given)
    assert list_loading_fixes(card, start, {"num_classes": 0, "global_pool": "avg"}) == [FC_NORM_KEPT]
    assert list_loading_fixes(card, start, {"num_classes": 0}) == []
    plain = make_module()
    card, start = make_memory_card(plain, **given)
    assert list_loading_fixes(card, start, {"num_classes": 0, "global_pool": "avg"}) == []


@pytest.mark.parametrize("size", [224, (112, 448)])
@pytest.mark.parametrize("pool", ["avg", "token"])
@pytest.mark.parametrize("init", ["card", "checkpoint"])
def test_deit_tiny_keeps_its_ids(size: Any, pool: str, init: Any, deit_file: Path) -> None:
    card, start = get_card("timm/deit_tiny_patch16_224"), InitialWeights(init, deit_file, "x")
    arguments = {"img_size": size, "num_classes": 0, "global_pool": pool}
    assert list_loading_fixes(card, start, arguments) == []


def test_random_numbers_stay_what_they_are(tmp_path: Path) -> None:
    state = make_state(global_pool="avg")
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert list_fixes(state, tmp_path, num_classes=0, global_pool="avg")
    assert torch.equal(torch.rand(3), expected)


def test_the_id_of_a_run_has_them(tmp_path: Path) -> None:
    ids = {}
    for name, state in (("plain", make_state()), ("tuned", make_state(global_pool="avg"))):
        torch.save(state, tmp_path / f"{name}.pth")
        request = CellRequest(
            "digits", "vit_pico", "knn", checkpoint=str(tmp_path / f"{name}.pth"), overrides=("pool=avg",)
        )
        parts = resolve_cell_parts(request)
        checkpoint = parts.backbone.checkpoint
        assert checkpoint is not None
        ids[name] = checkpoint.loading_fixes, identify_cell(request, parts)
    assert ids["plain"][0] == []
    assert "loading_fixes" not in ids["plain"][1].candidate_fields
    assert ids["tuned"][0] == ids["tuned"][1].candidate_fields["loading_fixes"] == [FC_NORM_KEPT]
