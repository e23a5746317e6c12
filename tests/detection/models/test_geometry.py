"""Anchors, encoded boxes, levels and pooling against hand-computed cases and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import roi_align

from detection.models.boxes import (
    PROPOSAL_WEIGHTS,
    REGION_WEIGHTS,
    apply_deltas,
    clip_boxes,
    encode_deltas,
    find_nonempty,
)
from detection.models.input_batch import make_square_batch
from detection.models.proposals import ProposalNetwork, make_anchors
from detection.models.pyramid import ChannelNorm, SimplePyramid, StagePyramid
from detection.models.regions import RegionPooler, count_pooled_levels, find_levels
from detection.models.window_attention import gather_offsets
from detection.recipe import ProposalSettings
from foundation.errors import DataError
from tests.detection.models.tiny_detector import make_detector, make_image, make_recipe

STRIDES = [4.0, 8.0, 16.0, 32.0, 64.0]


def test_anchors_are_not_rounded() -> None:
    found = make_anchors(2, 3, 4, 32, torch.zeros(()))
    assert found.shape == (18, 4)
    root = math.sqrt(2)
    # a ratio of 0.5: width 32 sqrt 2 = 45.25, height 22.63
    expected = [[-16 * root, -8 * root, 16 * root, 8 * root], [-16, -16, 16, 16]]
    expected.append([-8 * root, -16 * root, 8 * root, 16 * root])
    np.testing.assert_allclose(found[:3], expected, atol=1e-5)
    # the fourth anchor belongs to the next column, the tenth to the next row
    np.testing.assert_allclose(found[3:6] - found[:3], [[4, 0, 4, 0]] * 3, atol=1e-5)
    np.testing.assert_allclose(found[9:12] - found[:3], [[0, 4, 0, 4]] * 3, atol=1e-5)


def test_anchors_of_all_levels() -> None:
    network = ProposalNetwork(4, 2, STRIDES, ProposalSettings()).to("meta")
    scores = network([torch.zeros(1, 4, side, side, device="meta") for side in (160, 80, 40, 20, 10)])
    assert network.sides == [32, 64, 128, 256, 512]
    assert sum(map(len, scores.anchors)) == sum(each.shape[1] for each in scores.logits) == 102_300
    assert [tuple(each.shape) for each in scores.deltas] == [(1, len(each), 4) for each in scores.anchors]
    assert ProposalNetwork(4, 1, [3.5, 7, 14, 28, 56], ProposalSettings()).sides == [32, 64, 128, 256, 512]


def test_scores_are_in_the_order_of_the_anchors() -> None:
    """The head writes the number of the channel: channel a is anchor a, and channels 4 a to 4 a + 3 are its code."""
    network = ProposalNetwork(1, 0, [4.0], ProposalSettings())
    for layer in (network.head.cls_logits, network.head.bbox_pred):
        torch.nn.init.zeros_(layer.weight)
        layer.bias.data = torch.arange(len(layer.bias), dtype=torch.float32)
    network.head.cls_logits.weight.data.fill_(100)
    scores = network([torch.arange(4.0).reshape(1, 1, 2, 2)])
    assert scores.logits[0][0].tolist() == [100 * cell + anchor for cell in range(4) for anchor in range(3)]
    assert scores.deltas[0][0, 4].tolist() == [4, 5, 6, 7]


def test_boxes_are_encoded_as_the_formula_says() -> None:
    reference, box = torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[14.0, 10, 44, 30]])
    # centers (20, 40) and (29, 20); sides 20, 40 and 30, 20
    expected = [9 / 20, -20 / 40, math.log(1.5), math.log(0.5)]
    np.testing.assert_allclose(encode_deltas(reference, box, PROPOSAL_WEIGHTS)[0], expected, rtol=1e-6)
    scaled = np.array(expected) * [10, 10, 5, 5]
    np.testing.assert_allclose(encode_deltas(reference, box, REGION_WEIGHTS)[0], scaled, rtol=1e-6)
    np.testing.assert_allclose(apply_deltas(reference, torch.tensor(scaled)[None], REGION_WEIGHTS), box, rtol=1e-6)


def test_boxes_are_decoded_as_torchvision_does() -> None:
    """Also codes beyond the clamp at log(1000 / 16)."""
    torch.manual_seed(0)
    start = torch.rand(50, 2, dtype=torch.float64) * 300
    references = torch.cat([start, start + 1 + torch.rand(50, 2, dtype=torch.float64) * 200], 1)
    deltas = torch.randn(50, 4, dtype=torch.float64) * 10
    expected = BoxCoder(REGION_WEIGHTS).decode_single(deltas, references)
    torch.testing.assert_close(apply_deltas(references, deltas, REGION_WEIGHTS), expected, rtol=1e-12, atol=1e-9)
    assert (deltas[:, 2:] / 5 > math.log(1000 / 16)).any()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_decoding_stays_in_fp32(kind: torch.dtype) -> None:
    reference, deltas = torch.tensor([[601.3, 401.7, 633.1, 433.9]]), torch.zeros(1, 4, dtype=kind)
    with torch.autocast("cpu", dtype=kind):
        found = apply_deltas(reference, deltas, PROPOSAL_WEIGHTS)
        anchors = make_anchors(1, 200, 4, 32, torch.zeros((), dtype=kind))
        table = gather_offsets(torch.full((5, 1), 600.7), 5)
    assert found.dtype == anchors.dtype == table.dtype == torch.float32
    np.testing.assert_allclose(found, reference, atol=1e-4)
    assert anchors[-2, 0] == 199 * 4 - 16, "bfloat16 has only even numbers above 512"
    np.testing.assert_allclose(table, 600.7, atol=1e-3, err_msg="resizing tables would round them to 600 or 604")


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_proposals_under_autocast_are_those_of_their_codes(kind: torch.dtype) -> None:
    """The boxes are what the fp32 formula gives for the network's half-precision codes, to 1e-3 px."""
    model = make_detector(make_recipe(model={"channels": 8, "window": 3}), has_masks=False).eval()
    torch.nn.init.normal_(model.proposal_network.head.bbox_pred.weight, std=0.3)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=kind):
        scores = model.proposal_network(model.compute_levels(images))
        (found,) = model.proposal_network.propose_boxes(scores, [(64, 64)])
    assert scores.deltas[0].dtype == kind and found.dtype == torch.float32
    anchors, codes = torch.cat(scores.anchors).double(), torch.cat(scores.deltas, 1)[0].double()
    every = clip_boxes(apply_deltas(anchors, codes, PROPOSAL_WEIGHTS), (64, 64))
    nearest = (found[:, None].double() - every).abs().amax(2).amin(1)
    assert len(found) > 50 and nearest.max() < 1e-3


def test_boxes_are_clipped_and_empty_ones_found() -> None:
    boxes = torch.tensor([[-5.0, 2, 300, 90], [210, 5, 230, 9], [1, 1, torch.nan, 2]])
    clipped = clip_boxes(boxes, (80, 200))
    assert clipped[:2].tolist() == [[0, 2, 200, 80], [200, 5, 200, 9]]
    assert find_nonempty(clipped).tolist() == [True, False, False]


def test_levels_follow_the_rule() -> None:
    """Below 112 px p2, from 112 p3, from 224 p4, from 448 p5; the sides are the roots of areas."""
    sides = [1.0, 111.9, 112.1, 223.9, 224.1, 447.9, 448.1, 5000]
    boxes = torch.tensor([[0, 0, 2 * side, side / 2] for side in sides])
    assert find_levels(boxes, 2, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert find_levels(boxes, 4, 2).tolist() == [0, 0, 0, 0, 0, 0, 1, 1], "a backbone whose first stride is 16"


def pool_plainly(level: Tensor, box: list[float], stride: float, side: int) -> np.ndarray:
    """Pool one region of one map (rows, columns): the mean of bilinear samples on a regular grid in each cell."""
    rows, columns = level.shape
    x0, y0, x1, y1 = (each / stride - 0.5 for each in box)
    height, width = (y1 - y0) / side, (x1 - x0) / side
    down, across = max(math.ceil(height), 1), max(math.ceil(width), 1)
    out = np.zeros((side, side))

    def sample(y: float, x: float) -> float:
        if not (-1 <= y <= rows and -1 <= x <= columns):
            return 0.0
        y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
        top, left = min(int(y), rows - 2), min(int(x), columns - 2)
        a, b = y - top, x - left
        cells = level[top : top + 2, left : left + 2]
        return float(
            (1 - a) * ((1 - b) * cells[0, 0] + b * cells[0, 1]) + a * ((1 - b) * cells[1, 0] + b * cells[1, 1])
        )

    for i in range(side):
        for j in range(side):
            points = [
                (y0 + (i + (m + 0.5) / down) * height, x0 + (j + (n + 0.5) / across) * width)
                for m in range(down)
                for n in range(across)
            ]
            out[i, j] = np.mean([sample(*point) for point in points])
    return out


def test_pooled_features_equal_a_plain_sampler() -> None:
    """Regions of every level, in an image of 427 x 640 px that was padded to 640: strides are 4 to 32 all the same."""
    torch.manual_seed(0)
    levels = [torch.randn(2, 1, 640 // stride, 640 // stride, dtype=torch.float64) for stride in (4, 8, 16, 32)]
    boxes = [
        torch.tensor([[250.3, 140.2, 281.9, 180.7], [3, 5, 180, 120], [100.5, 20, 400, 250.2]], dtype=torch.float64),
        torch.tensor([[0, 0, 640, 427], [600, 400, 640, 427.0]], dtype=torch.float64),
    ]
    pooler = RegionPooler(STRIDES[:4])
    found = pooler(levels, boxes, 3)
    places = [(0, 0), (0, 1), (0, 2), (1, 3), (1, 0)]
    for values, (image, level), box in zip(found, places, torch.cat(boxes).tolist(), strict=True):
        expected = pool_plainly(levels[level][image, 0], box, 4 * 2**level, 3)
        np.testing.assert_allclose(values[0], expected, atol=1e-10)


def test_the_first_image_does_not_set_the_strides() -> None:
    """After an oblong first batch regions are pooled where they lie; torchvision's pooler is a factor of 2 off."""
    model = make_detector().eval()
    wide = make_image(1, 1, height=30)
    model.compute_losses([wide])
    ramp = [torch.arange(64 / stride).expand(1, 1, int(64 / stride), -1) * stride for stride in (4.0, 8, 16, 32)]
    assert model.pooler.strides == [4, 8, 16, 32]
    center = model.pooler(ramp, [torch.tensor([[20.0, 20, 40, 40]])], 1).item()
    assert center == pytest.approx(30 - 4 / 2), "the middle of the box, 30 px; the first cell's center is at 2 px"


def test_pooling_in_half_precision_is_done_in_fp32() -> None:
    level = torch.randn(1, 2, 16, 16).bfloat16()
    box = torch.tensor([[0, 8.0, 8, 40, 40]])
    found = RegionPooler([4.0])([level], [box[:, 1:]], 7)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, roi_align(level.float(), box, 7, 0.25, 0, True))


def test_a_channel_norm_sees_one_cell() -> None:
    values = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    norm = ChannelNorm(6).double()
    expected = (values - values.mean(1, keepdim=True)) / (values.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(norm(values), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("patch", "strides"), [(16, STRIDES), (8, STRIDES), (32, STRIDES), (14, [3.5, 7, 14, 28, 56])])
def test_the_simple_pyramid_has_the_usual_strides(patch: int, strides: list[float]) -> None:
    pyramid = SimplePyramid(16, 8, patch)
    assert pyramid.strides == strides and count_pooled_levels(strides) == 4
    cells = 224 // patch
    levels = pyramid([torch.randn(1, 16, cells, cells)])
    for level, stride in zip(levels, strides, strict=True):
        assert level.shape[1:] == (8, *[pytest.approx(224 / stride, abs=0.5)] * 2)
    # p6 is every other cell of p5
    assert torch.equal(levels[4], levels[3][:, :, ::2, ::2])


def test_the_stage_pyramid_goes_on_to_64() -> None:
    pyramid = StagePyramid([4, 6], 8, [16, 32])
    levels = pyramid([torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4)])
    assert pyramid.strides == [16, 32, 64] and [each.shape[2] for each in levels] == [8, 4, 2]
    assert count_pooled_levels(pyramid.strides) == 2


def test_the_batch_is_a_square_with_the_mean_color_around() -> None:
    mean, std = torch.tensor([0.5, 0.25, 0]), torch.tensor([0.5, 0.25, 1])
    image = torch.full((3, 2, 3), 255, dtype=torch.uint8)
    batch = make_square_batch([image], 4, mean, std)
    assert batch[0, :, 0, 0].tolist() == [1, 3, 1] and batch[0, :, :2, :3].sum() == 6 * 5
    assert batch.shape == (1, 3, 4, 4) and batch.count_nonzero() == 18
    with pytest.raises(DataError, match="an image of 2 x 3 px does not fit into the square of 2 px"):
        make_square_batch([image], 2, mean, std)
