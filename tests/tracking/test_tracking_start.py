"""A tracker's own weights, and those of OSTrack's code, as the start of another run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones.checkpoints.load_weights import load_tensors
from backbones.create import create_backbone
from foundation.errors import CheckpointError
from tests.tracking.make import make_images, make_tracker_model
from tests.tracking.test_ostrack_checkpoint import made_up


@pytest.mark.parametrize("backbone", ["vit_nano", "deit_tiny_12h"])
def test_the_trunk_of_a_tracker_starts_any_run(backbone: str, tmp_path: Path) -> None:
    """Its blocks are those that tracking trained; ``pos_embed`` is the one it started from, as tracking freezes it."""
    tracker = make_tracker_model(backbone, 64, 128)
    path = tmp_path / "last_00000040.pth"
    torch.save({"state_dict": tracker.state_dict(), "step": 40}, path)
    created = create_backbone(backbone, checkpoint=str(path), num_classes=0)
    report, file = created.load_report, created.weight_file
    assert report is not None and file is not None
    assert file.format == "bench run (torch, under state_dict)"
    assert file.tensors.keys() == tracker.backbone.vit.state_dict().keys(), "not names that others use as well"
    assert not [note for note in report.notes if "names" in note]
    assert (report.missing, report.unexpected, report.resized) == ([], [], [])
    trained = tracker.backbone.vit.state_dict()
    loaded = created.model.state_dict()
    norm = {name for name in loaded if name.startswith("fc_norm.")}
    assert all(torch.equal(value, trained[name]) for name, value in loaded.items() if name not in norm)
    reasons = {line.split()[0].removeprefix("backbone."): line.partition("(")[2] for line in report.dropped}
    assert reasons["head.score.0.weight"] == "the tracker's box head)"
    assert reasons["search_positions"] == reasons["template_positions"]
    assert "the backbone's pos_embed is the one before tracking" in reasons["search_positions"]
    assert reasons["skipped"] == "the tracker's count of unreadable frames)"
    if not norm:
        images = make_images(32)
        with torch.no_grad():
            assert torch.equal(created.model.eval()(images), tracker.backbone.vit(images))


def test_a_tracker_with_relative_positions_gives_its_tables_back() -> None:
    """Tracking has resampled them for the search region, and loading resamples them for the images of the run."""
    vit = make_tracker_model("vit_tiny_rpe", 64, 128).backbone.vit
    model = create_backbone("vit_tiny_rpe", checkpoint="random", num_classes=0).model
    report = load_tensors(model, vit.state_dict(), allow_partial=False, source="x.pth")
    assert report.is_complete and len(report.resized) == 12
    for block in vit.blocks:
        block.attn.set_grid((14, 14))
    trained = vit.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


def test_an_ostrack_file_starts_a_run_with_the_positions_it_began_with(tmp_path: Path) -> None:
    state = dict(made_up(32, 64))
    state["backbone.pos_embed"] = state["backbone.pos_embed"][:, :17]
    torch.save({"net": state}, tmp_path / "a.pth.tar")
    created = create_backbone("vit_pico", checkpoint=str(tmp_path / "a.pth.tar"), num_classes=0)
    assert torch.equal(created.model.pos_embed.data, state["backbone.pos_embed"])
    assert created.load_report is not None and created.load_report.is_complete
    del state["backbone.pos_embed"]
    torch.save({"net": state}, tmp_path / "b.pth.tar")
    # not resampled from the search region: they have no row for the class token, which took part in no tracking
    with pytest.raises(CheckpointError, match="for a tracker's template and search region only"):
        create_backbone("vit_pico", checkpoint=str(tmp_path / "b.pth.tar"), num_classes=0)
