"""An encoder that does not load whole is no outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones.create import create_backbone
from backbones.registry import get_card
from foundation.errors import BenchError, CheckpointError
from pretraining.export import export_encoder


@pytest.mark.parametrize(("name", "arguments"), [("vit_pico", {}), ("hiera_lite", {"q_pool": 2}), ("swin_lite", {})])
def test_every_architecture_loads_whole(name: str, arguments: dict[str, int], tmp_path: Path) -> None:
    """Hiera is used with three poolings where two were trained."""
    card = get_card(name)
    model = create_backbone(name, checkpoint="random", num_classes=0, **arguments).model
    path = export_encoder(model, card, card.input_size[1], tmp_path, {"method": "mae"}, {})
    made = create_backbone(name, checkpoint=str(tmp_path), num_classes=5)
    assert path == tmp_path / "encoder.pth"
    assert made.load_report is not None
    assert (made.load_report.matched_fraction, made.load_report.missing, made.load_report.unexpected) == (1.0, [], [])
    state = made.model.state_dict()
    assert all(
        torch.equal(value, state[key]) for key, value in model.state_dict().items() if not key.startswith("head.fc")
    )


def test_a_part_of_an_encoder_is_no_outcome(tmp_path: Path) -> None:
    model = create_backbone("vit_pico", checkpoint="random", num_classes=0).model
    model.blocks = model.blocks[:2]  # type: ignore[index,assignment]
    with pytest.raises((BenchError, CheckpointError), match="does not"):
        export_encoder(model, get_card("vit_pico"), 32, tmp_path, {}, {})


def test_an_encoder_of_another_size_is_no_outcome(tmp_path: Path) -> None:
    model = create_backbone("vit_pico", checkpoint="random", num_classes=0, img_size=64).model
    with pytest.raises(BenchError, match="does not load completely into vit_pico"):
        export_encoder(model, get_card("vit_pico"), 32, tmp_path, {}, {})
