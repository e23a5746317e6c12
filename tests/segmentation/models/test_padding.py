"""A crop that the patch does not divide: padded for the backbone, not stretched, neither trained on nor scored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional

from backbones.create import create_backbone
from backbones.memory_modules.memory_module import make_memory_card
from backbones.registry import get_card
from backbones.weights import InitialWeights
from engine.task import DataReport, RunPlan, RunRequest
from segmentation.models.pixel_classes import RowRange, average_windows
from segmentation.models.segmentor import Segmentor, build_segmentor
from segmentation.plan import resolve_protocol
from segmentation.run import describe_test_mode
from segmentation.tasks import CONFIG_DIR
from tests.segmentation.make import make_recipe

CROP, PADDED, PATCH = 36, 40, 8


def make_segmentor(mode: str) -> Segmentor:
    recipe = make_recipe("mini_ade_linear", f"crop={CROP}", f"test.mode={mode}", "test.stride=20")
    created = create_backbone("vit_nano", img_size=PADDED, checkpoint="random", num_classes=0)
    return build_segmentor(recipe, get_card("vit_nano"), 150, "BN", created=created).eval()


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_logits_stand_where_their_pixels_are(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell has the mean of its 8 x 8 pixels; between cell centers, at 8 k + 3.5, logits rise linearly."""
    model = make_segmentor(mode)

    def decode(images: torch.Tensor, data_samples: None) -> torch.Tensor:
        assert images.shape[2:] == (PADDED, PADDED)
        return functional.avg_pool2d(images[:, :1], PATCH)

    monkeypatch.setattr(model, "_forward", decode)
    monkeypatch.setattr(model, "normalize", lambda pixels: pixels)
    image = torch.zeros(3, CROP, CROP)
    image[..., 16:] = 1  # columns 16 to 35; cell 4 has 4 of them and 4 of padding, so its mean is one half
    logits = average_windows(list(model.compute_windows(image)), RowRange(0, CROP, CROP), slice(None))
    assert logits.shape == (1, CROP, CROP)
    centers, means = [3.5, 11.5, 19.5, 27.5, 35.5], [0, 0, 1, 1, 0.5]
    for column in range(CROP):
        left = min(max(int((column - 3.5) // 8), 0), 3)
        part = min(max((column - centers[left]) / 8, 0), 1)
        want = means[left] + part * (means[left + 1] - means[left])
        assert float(logits[0, 5, column]) == pytest.approx(want, abs=1e-5), column


def test_padding_is_not_trained_on() -> None:
    model = make_segmentor("whole")
    label = SegDataSample(gt_sem_seg=PixelData(data=torch.ones(1, CROP, CROP, dtype=torch.int64)))
    image = torch.zeros(3, CROP, CROP, dtype=torch.uint8)
    batch = model.data_preprocessor({"inputs": [image], "data_samples": [label]}, True)
    assert batch["inputs"].shape == (1, 3, PADDED, PADDED)
    padded = batch["data_samples"][0].gt_sem_seg.data
    assert padded.shape == (1, PADDED, PADDED)
    assert bool((padded[:, :CROP, :CROP] == 1).all())
    assert int((padded == 255).sum()) == PADDED**2 - CROP**2
    with torch.no_grad():
        losses = model.loss(batch["inputs"], batch["data_samples"])
    assert torch.isfinite(losses["decode.loss_ce"])


def plan(backbone: str, *overrides: str) -> RunPlan:
    request = RunRequest(
        get_card(backbone),
        InitialWeights("random", None, None),
        "semantic_fpn",
        "full",
        0,
        overrides,
        Path(),
        "cpu",
    )
    report = DataReport("0" * 64, {"train": 100, "test": 10})
    return resolve_protocol(CONFIG_DIR / "mini_ade_semantic_fpn.py", request, report)


def test_a_plan_pads_only_where_the_patch_does_not_divide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    even = plan("vit_nano", "crop=64", "drop_path=0.1")
    assert even.backbone_kwargs == {"img_size": 64, "num_classes": 0, "drop_path_rate": 0.1}
    assert even.notes == ()
    odd = plan("vit_nano", "crop=60", "test.stride=40", "drop_path=0")
    assert odd.backbone_kwargs == {"img_size": 64, "num_classes": 0}
    assert "crops of 60 px padded at the right and bottom to 64 x 64" in odd.notes[0]


def test_a_module_from_memory_is_padded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    module = create_backbone("vit_nano", checkpoint="random", num_classes=0).model
    card, weights = make_memory_card(module)
    request = RunRequest(card, weights, "linear", "full", 0, ("crop=60", "test.stride=40"), Path(), "cpu")
    report = DataReport("0" * 64, {"train": 100, "test": 10})
    padded = resolve_protocol(CONFIG_DIR / "mini_ade_linear.py", request, report)
    assert padded.backbone_kwargs == {"img_size": 64, "num_classes": 0}
    assert "crops of 60 px padded at the right and bottom to 64 x 64" in padded.notes[0]


@pytest.mark.parametrize(
    ("crop", "mode", "expected"),
    [
        (36, "slide", "slide 36/20, windows padded to 40 x 40 px, single scale"),
        (36, "whole", "whole, images padded to multiples of 8 x 8 px, single scale"),
        (40, "slide", "slide 40/20, single scale"),
        (40, "whole", "whole, single scale"),
    ],
)
def test_the_record_says_what_is_padded(crop: int, mode: str, expected: str) -> None:
    recipe = make_recipe("mini_ade_linear", f"crop={crop}", f"test.mode={mode}", "test.stride=20")
    created = create_backbone("vit_nano", img_size=PADDED, checkpoint="random", num_classes=0)
    model = build_segmentor(recipe, get_card("vit_nano"), 150, "BN", created=created)
    assert describe_test_mode(model, recipe).startswith(expected)


def test_no_drop_path_is_no_drop_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's Swin drops paths unless it is told not to."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert plan("timm/swin_tiny_patch4_window7_224", "drop_path=0").backbone_kwargs["drop_path_rate"] == 0.0
    assert "drop_path_rate" not in plan("swin_lite", "drop_path=0").backbone_kwargs
