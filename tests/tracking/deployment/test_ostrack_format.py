"""A run's tracker as a file of OSTrack's code: the published names and shapes, and the same boxes read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundation.errors import UserError
from tests.tracking.as_is.make import make_run
from tests.tracking.make import make_tracker_model
from tests.tracking.test_ostrack_checkpoint import made_up
from tracking.deployment.ostrack_format import export_ostrack, find_ostrack_name, list_ostrack_tensors
from tracking.evaluate_run import load_tracker
from tracking.ostrack_checkpoint import convert_tensor_name, load_ostrack_model, load_ostrack_tracker


def follow(tracker: Any) -> np.ndarray:
    frames = np.random.default_rng(0).integers(0, 255, (4, 120, 160, 3), np.uint8)
    tracker.init(frames[0], (60, 40, 30, 20))
    return np.array([tracker.update(frame) for frame in frames[1:]])


@pytest.mark.parametrize("use_ce", [False, True])
def test_the_file_read_back_gives_the_boxes_of_the_run(tmp_path: Path, use_ce: bool) -> None:
    run = make_run(tmp_path / "run", backbone="vit_micro", use_ce=use_ce)
    path = export_ostrack(run, tmp_path / "out")
    assert path.name == "OSTrack_ep0002.pth.tar"
    assert export_ostrack(run) == run / "export" / "ostrack" / path.name
    content = torch.load(path, weights_only=True)  # as torch reads it today: plain data, no classes
    assert content["net_type"] == "OSTrack" and content["settings"]["output_sz"] == {"template": 32, "search": 64}
    tracker, report = load_ostrack_tracker(path, "vit_micro")
    assert np.array_equal(follow(tracker), follow(load_tracker(run)))
    assert any(f"ce={str(use_ce).lower()}" in note for note in report.notes), "the file says all of its settings"
    assert any("num_heads=3" in note for note in report.notes) and not any("assumed" in note for note in report.notes)
    assert load_ostrack_model(path, "vit_micro").recipe.use_ce == use_ce


def test_names_and_shapes_are_the_published_ones() -> None:
    """``made_up`` writes out every tensor of OSTrack's ViT tracker, which its code loads strictly."""
    net = list_ostrack_tensors(make_tracker_model("vit_pico", 128, 256))
    published = made_up(128, 256)
    assert {name: value.shape for name, value in net.items()} == {name: v.shape for name, v in published.items()}
    assert list(net)[:2] == list(published)[:2]
    own = make_tracker_model("vit_pico", 128, 256).backbone.vit.pos_embed
    assert torch.equal(net["backbone.pos_embed"][:, 0], own[:, 0]), "a training that starts from the file needs them"
    assert net["backbone.pos_embed"][:, 1:].mean() == pytest.approx(float(own[:, 1:].mean()), abs=0.01)


def test_names_are_converted_there_and_back() -> None:
    for name in make_tracker_model("vit_pico").state_dict():
        theirs = find_ostrack_name(name)
        if theirs is not None:
            assert convert_tensor_name(theirs) == name
    assert find_ostrack_name("backbone.vit.blocks.0.ls1.gamma") is None
    assert find_ostrack_name("backbone.vit.fc_norm.weight") == "backbone.norm.weight", (
        "of a backbone that norms its mean"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"asymmetric_attention": True}, "its template attends only to itself"),
        ({"geometry": "exact"}, r"its crops are cut otherwise \(geometry=exact\)"),
        ({"use_ce": True, "ce": {"blocks": [1], "keep_ratio": 0.5}}, "is not that of the published experiments"),
        ({"backbone": "timm/deit3_small_patch16_224"}, r"parts that OSTrack's ViT lacks \(blocks.0.ls1.gamma"),
    ],
)
def test_what_ostracks_code_would_compute_otherwise_is_refused(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    run = make_run(tmp_path / "run", **settings)
    with pytest.raises(UserError, match=said):
        export_ostrack(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_normalization_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", backbone="vit_pico", imagenet=False)
    with pytest.raises(UserError, match=r"cannot track with vit_pico of this run: .*normalized with another mean"):
        export_ostrack(run, tmp_path / "out")
