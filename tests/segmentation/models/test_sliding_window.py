"""Batched windows against mmseg's own slide_inference."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder

from backbones.registry import get_card
from segmentation.models.pixel_classes import RowRange, average_windows
from segmentation.models.segmentor import Segmentor, build_segmentor
from segmentation.models.sliding_window import (
    Network,
    WindowSettings,
    compute_window_logits,
    list_window_corners,
)
from tests.segmentation.make import make_recipe


@pytest.fixture(scope="module")
def model() -> Segmentor:
    torch.manual_seed(0)
    made = build_segmentor(make_recipe("mini_ade_semantic_fpn"), get_card("vit_nano"), 150, "BN").eval()
    made.decode_head.conv_seg.weight.data.normal_()  # at its start values every logit is nearly equal
    return made


def average_all(
    network: Network, image: torch.Tensor, crop: int, stride: int, batch: int = 8, is_filled_up: bool = True
) -> torch.Tensor:
    """The logits (classes, height, width) of an image (3, height, width) that is normalized already."""
    settings = WindowSettings((crop, crop), (stride, stride), batch, is_filled_up)
    windows = list(compute_window_logits(network, lambda pixels: pixels, image, settings))
    return average_windows(windows, RowRange(0, *image.shape[1:]), slice(None))


@pytest.mark.parametrize("size", [(64, 64), (64, 150), (97, 131), (128, 64), (200, 77)])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_equals_mmsegs_slide_inference(model: Segmentor, size: tuple[int, int], batch: int) -> None:
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    model.test_cfg = ConfigDict(mode="slide", crop_size=(64, 64), stride=(43, 43))
    with torch.no_grad():
        theirs = EncoderDecoder.slide_inference(model, image, [{"ori_shape": size}])[0]
        ours = average_all(model, image[0], 64, 43, batch)
    assert ours.shape == theirs.shape == (150, *size)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert (ours.argmax(0) == theirs.argmax(0)).double().mean() >= 0.9999
    assert batch > 1 or torch.equal(ours, theirs)


def test_windows_cover_everything_and_stay_inside() -> None:
    assert list_window_corners((512, 2048), (512, 512), (341, 341))[-1] == (0, 2048 - 512)
    for height, width in ((512, 512), (512, 683), (700, 513)):
        seen = torch.zeros(height, width)
        for place in list_window_corners((height, width), (512, 400), (341, 299)):
            assert 0 <= place.top <= height - 512
            assert 0 <= place.left <= width - 400
            seen[place.top : place.top + 512, place.left : place.left + 400] += 1
        assert seen.min() >= 1


def test_an_image_below_the_window_is_filled_up(model: Segmentor) -> None:
    image = torch.randn(3, 40, 50, generator=torch.Generator().manual_seed(2))
    whole = torch.nn.functional.pad(image, (0, 14, 0, 24))
    with torch.no_grad():
        filled = average_all(model, image, 64, 43)
        assert torch.equal(filled, average_all(model, whole, 64, 43)[:, :40, :50])


def test_whole_mode_takes_any_size(model: Segmentor) -> None:
    whole = build_segmentor(
        make_recipe("mini_ade_semantic_fpn", "test.mode=whole"), get_card("vit_nano"), 150, "BN"
    ).eval()
    whole.load_state_dict(model.state_dict())
    image = torch.randint(0, 255, (3, 99, 131), dtype=torch.uint8)
    labels = whole.classify_image(image, (45, 60)).labels
    assert labels.shape == (45, 60)
    assert labels.dtype == torch.uint8
