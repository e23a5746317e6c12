"""Size and offset at one cell from a window of the features, and the best cell as a whole, against all maps."""

from __future__ import annotations

import pytest
import torch

from backbones.architectures.block_parts import compute_attention, project_qkv
from backbones.architectures.head_projection import split_projection
from tests.tracking.make import make_images, make_tracker_model
from tests.tracking.models.test_tracker_model import CE
from tracking.models import cell_window
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.center_head import BestCell, CenterHead
from tracking.models.tracker_model import TrackerModel


def compute_best(model: TrackerModel, template: torch.Tensor, search: torch.Tensor, weights: torch.Tensor) -> BestCell:
    own = model.backbone.asymmetric_attention
    memory = model.encode_template(template) if own else model.embed_template(template)
    return model.find_best_cell(memory, search, weights)


@torch.inference_mode()
def measure_difference(head: CenterHead, features: torch.Tensor) -> float:
    """Largest difference of size or offset at any cell of the grid."""
    maps, worst = head(features), 0.0
    for cell in range(features.shape[2] ** 2):
        weights = torch.zeros(features.shape[2:])
        weights.view(-1)[cell] = 1
        found = head.predict_best_cell(features, weights)
        assert found.cell.tolist() == [cell] * len(features) and torch.equal(found.score, maps.score)
        for one, whole in ((found.size, maps.size), (found.offset, maps.offset)):
            worst = max(worst, float((one - whole.flatten(2)[:, :, cell]).abs().max()))
    return worst


@pytest.mark.parametrize("grid", [3, 10])
def test_every_cell_is_that_of_the_whole_map(grid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-5, also where the window reaches over the border, and in a grid that is smaller than the window."""
    head = make_tracker_model("vit_pico", head_channels=16).head
    features = torch.randn(2, 32, grid, grid, generator=torch.Generator().manual_seed(0))
    assert measure_difference(head, features) < 1e-5
    # without the zeros outside of the grid after each layer the border cells are others
    plain = cell_window.apply_tower
    monkeypatch.setattr(
        "tracking.models.center_head.apply_tower", lambda *parts: plain(*parts[:2], torch.ones_like(parts[2]))
    )
    assert measure_difference(head, features) > 1e-3


@pytest.mark.parametrize("backbone", ["vit_nano", "vit_tiny_rpe", "timm/vit_tiny_patch16_dinov3_qkvb"])
@pytest.mark.parametrize("own", [False, True], ids=["joint", "own"])
@pytest.mark.parametrize("elimination", [None, CE], ids=["all", "ce"])
def test_the_best_cell_is_that_of_all_maps(backbone: str, own: bool, elimination: CandidateElimination | None) -> None:
    model = make_tracker_model(
        backbone, 32, 64, candidate_elimination=elimination, asymmetric_attention=own, head_channels=16
    )
    template, search = make_images(32, 3), make_images(64, 3, seed=4)
    grid = model.backbone.search_grid
    weights = torch.rand(grid, grid, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        maps, found = model(template, search), compute_best(model, template, search, weights)
    assert torch.equal(found.cell, (maps.score * weights).flatten(1).argmax(1))
    assert (found.score - maps.score).abs().max() < 1e-5
    places = found.cell[:, None, None].expand(-1, 2, 1)
    for one, whole in ((found.size, maps.size), (found.offset, maps.offset)):
        assert (one - whole.flatten(2).gather(2, places)[..., 0]).abs().max() < 1e-5


@pytest.mark.parametrize(
    "backbone", ["vit_nano", "vit_tiny_rpe", "timm/vit_tiny_patch16_dinov3_qkvb", "timm/eva02_tiny_patch14_224"]
)
def test_a_matrix_per_head_projects_the_same(backbone: str) -> None:
    """Attention of a block before and after; EVA has separate or fused projections, with or without a bias of keys."""
    size = 32 if backbone != "timm/eva02_tiny_patch14_224" else 28
    attn = make_tracker_model(backbone, size, 2 * size, head_channels=16).backbone.vit.blocks[1].attn
    tokens = torch.randn(2, 7, attn.proj.in_features, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = compute_attention(attn, *project_qkv(attn, tokens), None)
        fused = attn.qkv is not None
        split_projection(attn)
        after = compute_attention(attn, *project_qkv(attn, tokens), None)
    assert (before - after).abs().max() < 1e-5 and before.abs().max() > 0.01
    assert not fused or attn.scale == 1.0
