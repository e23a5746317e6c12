"""A backbone for gray or many-channel images is refused in one sentence, wherever images come in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.inputs.backbone_spec import resolve_backbone
from analysis.request import BackboneChoice
from backbones.card import BackboneCard
from backbones.color_input import require_color_input
from benchmarks.resolve_cell import CellRequest, resolve_cell
from engine.teacher import locate_teacher
from foundation.errors import UserError

GRAY = BackboneCard(
    "gray_vit",
    "vit_tiny_patch16_224",
    "gray",
    arguments={"in_chans": 1, "depth": 1, "patch_size": 8},
    input_size=(1, 32, 32),
    mean=(0.5,),  # type: ignore[arg-type]
    std=(0.25,),  # type: ignore[arg-type]
)


def test_every_way_in_refuses_a_gray_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("benchmarks.resolve_cell", "analysis.inputs.backbone_spec", "engine.teacher"):
        monkeypatch.setattr(f"{module}.get_card", lambda name: GRAY)
    sentence = r"gray_vit takes images with 1 channel, and every task gives color images with 3"
    for task in ("digits", "mini_ade", "mini_lasot"):
        with pytest.raises(UserError, match=sentence):
            resolve_cell(CellRequest(task, "gray_vit", checkpoint="random", out=tmp_path))
    with pytest.raises(UserError, match=sentence):
        resolve_backbone(BackboneChoice("gray_vit", "random"))
    with pytest.raises(UserError, match=sentence):
        locate_teacher("gray_vit", None)


def test_channels_of_arguments_and_of_the_card_both_count() -> None:
    color = replace(GRAY, input_size=(3, 32, 32), arguments={})
    require_color_input(color)
    with pytest.raises(UserError, match="13 channels"):
        require_color_input(replace(color, arguments={"in_chans": 13}))
    with pytest.raises(UserError, match="4 channels"):
        require_color_input(replace(color, input_size=(4, 32, 32), arguments={"in_chans": 3}))
