"""Weights with detectron2's names, against a network that is built and run with these names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer_sam import Block as SamBlock
from torch import Tensor, nn

from detection.detectron2_weights import load_detectron2_tensors, load_detectron2_weights
from foundation.errors import CheckpointError
from tests.detection.models.tiny_detector import TINY_MODEL, make_detector, make_recipe

WIDTH, CHANNELS, CLASSES = 32, 8, 3


class MapNorm(nn.Module):
    """Norm over the channels of each cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        normed = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        return normed * self.weight[:, None, None] + self.bias[:, None, None]


class NormedConv(nn.Conv2d):
    """A convolution that carries its norm."""

    def __init__(self, inputs: int, outputs: int, side: int, is_active: bool = False) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2, bias=False)
        self.norm, self.is_active = MapNorm(outputs), is_active

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(super().forward(x))
        return out.relu() if self.is_active else out


def make_theirs() -> nn.Module:
    """Return modules with detectron2's names for the tiny detector, with random weights; patches have 16 px."""
    torch.manual_seed(3)
    net = nn.Module()
    net.pos_embed = nn.Parameter(torch.zeros(1, 17, WIDTH))
    net.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, WIDTH, 16, 16)})
    net.blocks = nn.ModuleList(
        SamBlock(WIDTH, 2, use_rel_pos=True, window_size=0, input_size=(4, 4), norm_layer=nn.LayerNorm)
        for _ in range(3)
    )
    backbone: Any = nn.Module()
    backbone.net = net
    half, quarter = WIDTH // 2, WIDTH // 4
    starts: dict[str, tuple[list[nn.Module], int]] = {
        "simfp_2": (
            [nn.ConvTranspose2d(WIDTH, half, 2, 2), MapNorm(half), nn.GELU(), nn.ConvTranspose2d(half, quarter, 2, 2)],
            quarter,
        ),
        "simfp_3": ([nn.ConvTranspose2d(WIDTH, half, 2, 2)], half),
        "simfp_4": ([], WIDTH),
        "simfp_5": ([nn.MaxPool2d(2, 2)], WIDTH),
    }
    for name, (layers, width) in starts.items():
        convs = [NormedConv(width, CHANNELS, 1), NormedConv(CHANNELS, CHANNELS, 3)]
        setattr(backbone, name, nn.Sequential(*layers, *convs))
    rpn: Any = nn.Module()
    convs = {f"conv{k}": nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for k in range(2)}
    rpn.conv = nn.ModuleDict(convs)
    rpn.objectness_logits, rpn.anchor_deltas = nn.Conv2d(CHANNELS, 3, 1), nn.Conv2d(CHANNELS, 12, 1)
    box = {"conv1": NormedConv(CHANNELS, CHANNELS, 3, True), "fc1": nn.Linear(CHANNELS * 49, 16)}
    predictor = {"cls_score": nn.Linear(16, CLASSES + 1), "bbox_pred": nn.Linear(16, CLASSES * 4)}
    mask = {
        "mask_fcn1": NormedConv(CHANNELS, CHANNELS, 3, True),
        "deconv": nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, 2),
        "predictor": nn.Conv2d(CHANNELS, CLASSES, 1),
    }
    heads = {"box_head": box, "box_predictor": predictor, "mask_head": mask}
    model = nn.ModuleDict({"backbone": backbone, "proposal_generator": nn.ModuleDict({"rpn_head": rpn})})
    model["roi_heads"] = nn.ModuleDict({name: nn.ModuleDict(parts) for name, parts in heads.items()})
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


def run_theirs(model: Any, images: Tensor, box: Tensor, mask: Tensor) -> list[Tensor]:
    """Return pyramid, objectness, deltas, class logits, box deltas and mask logits, layer by layer."""
    net = model["backbone"].net
    cells = net.patch_embed["proj"](images).permute(0, 2, 3, 1)
    cells = cells + net.pos_embed[:, 1:].reshape(1, 4, 4, WIDTH)
    for block in net.blocks:
        block.norm1.eps = block.norm2.eps = 1e-6
        cells = block(cells)
    levels = [getattr(model["backbone"], f"simfp_{k}")(cells.permute(0, 3, 1, 2)) for k in range(2, 6)]
    rpn, heads = model["proposal_generator"]["rpn_head"], model["roi_heads"]
    hidden = rpn.conv["conv1"](rpn.conv["conv0"](levels[0]).relu()).relu()
    regions = heads["box_head"]["fc1"](heads["box_head"]["conv1"](box).flatten(1)).relu()
    masks = heads["mask_head"]["deconv"](heads["mask_head"]["mask_fcn1"](mask)).relu()
    predictor = heads["box_predictor"]
    outputs = [rpn.objectness_logits(hidden), rpn.anchor_deltas(hidden), predictor["cls_score"](regions)]
    return [*levels, *outputs, predictor["bbox_pred"](regions), heads["mask_head"]["predictor"](masks)]


def make_ours() -> Any:
    """Return the tiny detector with a ViT of 3 blocks, 2 heads and patches of 16 px."""
    settings = {**TINY_MODEL, "window": 0}
    card_arguments = {"img_size": 64, "patch_size": 16}
    return make_detector(make_recipe(64, model=settings), "vit_pico", CLASSES, arguments=card_arguments).eval()


def test_weights_of_detectron2_compute_the_same() -> None:
    theirs, ours = make_theirs(), make_ours()
    report = load_detectron2_tensors(ours, {**theirs.state_dict(), "pixel_mean": torch.zeros(3, 1, 1)}, "model.pth")
    assert report.is_complete and report.matched == len(theirs.state_dict()) == len(ours.state_dict())
    assert len(report.dropped) == 1
    images, box, mask = torch.randn(1, 3, 64, 64), torch.randn(2, CHANNELS, 7, 7), torch.randn(2, CHANNELS, 14, 14)
    with torch.no_grad():
        expected = run_theirs(theirs, images, box, mask)
        levels = ours.compute_levels(images)
        scores = ours.proposal_network(levels)
        logits, deltas = ours.box_head(box)
        found = [*levels[:4], scores.logits[0], scores.deltas[0], logits, deltas.flatten(1), ours.mask_head(mask)]
    expected[4] = expected[4].permute(0, 2, 3, 1).flatten(1)
    expected[5] = expected[5].permute(0, 2, 3, 1).reshape(1, -1, 4)
    for ours_out, theirs_out in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_out, theirs_out, rtol=1e-4, atol=1e-4)


def test_a_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    tensors, ours = make_theirs().state_dict(), make_ours()
    torch.save({"model": tensors, "iteration": 184374}, tmp_path / "model_final.pth")
    assert load_detectron2_weights(ours, tmp_path / "model_final.pth").is_complete
    before = ours.box_head.hidden.weight.clone()
    name = "roi_heads.box_predictor.cls_score.weight"
    for change, message in (
        ({name: torch.zeros(81, 16)}, f"1 with another shape: {name} is 81x16 and should be 4x16"),
        ({"roi_heads.mask_head.mask_fcn2.weight": torch.zeros(1)}, "1 unknown: roi_heads.mask_head.mask_fcn2.weight"),
        ({name: torch.full((4, 16), torch.nan)}, f"holds NaN or infinity in {name}"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_detectron2_tensors(ours, {**tensors, "roi_heads.box_head.fc1.weight": before + 1, **change}, "it.pth")
    fewer = {key: value for key, value in tensors.items() if "simfp_5" not in key}
    with pytest.raises(CheckpointError, match=r"6 missing: pyramid.levels.3.1.weight"):
        load_detectron2_tensors(ours, fewer, "it.pth")
    with pytest.raises(CheckpointError, match=r"is not a ViTDet of detectron2: it lacks backbone.net"):
        load_detectron2_tensors(ours, {"blocks.0.norm1.weight": torch.ones(1)}, "vit.pth")
    assert torch.equal(ours.box_head.hidden.weight, before), "all or nothing"


def test_files_of_the_model_zoo_are_refused(tmp_path: Path) -> None:
    """They are pickles of numpy arrays; reading one would execute what it says."""
    import pickle

    (tmp_path / "model_final_61ccd1.pkl").write_bytes(pickle.dumps({"model": {"a": np.ones(3)}}))
    with pytest.raises(CheckpointError):
        load_detectron2_weights(make_ours(), tmp_path / "model_final_61ccd1.pkl")
