"""The network against a plain implementation written from the formulas, its sizes, and what it is made of."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from backbones.cost.flop_counter import compute_complexity
from backbones.create import create_backbone
from foundation.errors import UserError
from tests.tracking.make import MEAN, STD, make_images, make_tracker_model
from tracking.models.candidate_elimination import CandidateElimination, compute_keep_ratio, count_kept_tokens
from tracking.models.center_head import HeadMaps, decode_boxes, gather_boxes
from tracking.models.tracker_model import TrackerModel

CE = CandidateElimination(blocks=[1, 2], keep_ratio=0.7, begin=0, end=1)


def norm(x: Tensor, layer: Any) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    out: Tensor = centred / (variance + layer.eps).sqrt() * layer.weight + layer.bias
    return out


def plain(model: TrackerModel, template: Tensor, search: Tensor, keep: float = 1.0) -> Tensor:
    """The search tokens by explicit softmax, head by head; a dropped token is masked out of later blocks."""
    stream, vit = model.backbone, model.backbone.vit
    parts = []
    for image, positions in ((template, stream.template_positions), (search, stream.search_positions)):
        patch = vit.patch_embed.patch_size[0]
        pieces = torch.nn.functional.unfold(image, patch, stride=patch).transpose(1, 2)
        weight = vit.patch_embed.proj.weight.flatten(1)
        parts.append(pieces @ weight.T + vit.patch_embed.proj.bias + positions)
    count, x = parts[0].shape[1], torch.cat(parts, 1)
    alive = torch.ones(x.shape[:2], dtype=torch.bool)
    for number, block in enumerate(vit.blocks):
        normed = norm(x, block.norm1)
        width, heads = x.shape[2], block.attn.num_heads
        q, k, v = (normed @ block.attn.qkv.weight.T + block.attn.qkv.bias).split(width, 2)
        outputs, rows = [], []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            logits = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width // heads)
            logits = logits.masked_fill(~alive[:, None, :], -math.inf)
            rows.append(torch.softmax(logits, -1)[:, stream.center_index])
            if stream.asymmetric_attention:
                logits[:, :count, count:] = -math.inf
            outputs.append(torch.softmax(logits, -1) @ v[..., part])
        x = x + torch.cat(outputs, 2) @ block.attn.proj.weight.T + block.attn.proj.bias
        if number in stream.ce_blocks:
            row = (sum(rows) / heads)[:, count:]
            assert isinstance(row, Tensor)
            for each in range(len(x)):
                living = [int(i) for i in torch.nonzero(alive[each, count:]).flatten()]
                ranked = sorted(living, key=lambda i: -float(row[each, i]))
                for dropped in ranked[math.ceil(keep * len(living)) :]:
                    alive[each, count + dropped] = False
        hidden = norm(x, block.norm2) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
    return (norm(x, vit.norm) * alive[..., None])[:, count:]


@pytest.mark.parametrize("own", [False, True], ids=["joint", "own"])
@pytest.mark.parametrize("elimination", [None, CE], ids=["all", "ce"])
def test_forward_equals_a_plain_implementation(own: bool, elimination: CandidateElimination | None) -> None:
    model = make_tracker_model(candidate_elimination=elimination, asymmetric_attention=own)
    template, search = make_images(64), make_images(128, seed=4)
    with torch.no_grad():
        maps = model(template, search)
        found = model.backbone(template, search)
        expected = plain(model, template, search, 0.7)
    assert (found - expected).abs().max() < 1e-5
    assert (expected.abs().sum(-1) == 0).any() == (elimination is not None)
    grid = expected.transpose(1, 2).unflatten(2, (16, 16))
    for ours, plain_map in zip(maps, model.head(grid), strict=True):
        assert (ours - plain_map).abs().max() < 1e-5


def test_real_weights_equal_a_plain_implementation(deit_file: Any) -> None:
    vit = create_backbone("deit_tiny", checkpoint=str(deit_file), num_classes=0).model
    model = TrackerModel(vit, 64, 128, MEAN, STD, candidate_elimination=CandidateElimination(begin=0, end=1)).eval()
    template, search = make_images(64), make_images(128, seed=4)
    with torch.no_grad():
        model(template, search)
        found, expected = model.backbone(template, search), plain(model, template, search, 0.7)
    assert ((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("backbone", ["vit_nano", "vit_tiny_rpe"])
@pytest.mark.parametrize("elimination", [None, CE], ids=["all", "ce"])
def test_a_remembered_template_is_exact(backbone: str, elimination: CandidateElimination | None) -> None:
    model = make_tracker_model(backbone, candidate_elimination=elimination, asymmetric_attention=True)
    template, search = make_images(64, 1), make_images(128, 1, seed=4)
    with torch.no_grad():
        whole, cached = model(template, search), model.forward_cached(model.encode_template(template), search)
    assert max(float((a - b).abs().max()) for a, b in zip(whole, cached, strict=True)) < 1e-5


def test_without_options_the_blocks_are_timms() -> None:
    model = make_tracker_model()
    stream = model.backbone
    with torch.no_grad():
        tokens = torch.cat(
            [stream._embed_patches(make_images(64), True), stream._embed_patches(make_images(128), False)], 1
        )
        expected = stream.vit.norm(stream.vit.blocks(tokens))[:, 64:]
        assert (stream(make_images(64), make_images(128)) - expected).abs().max() < 1e-5


def test_relative_bias_works_within_each_image_and_not_between() -> None:
    """Against timm's own block under the joint mask made by hand from the table; with and without elimination."""
    model = make_tracker_model("vit_tiny_rpe", asymmetric_attention=False)
    stream = model.backbone
    attn = stream.vit.blocks[0].attn
    table, heads = attn.relative_position_bias_table.detach(), attn.num_heads
    mask = torch.zeros(1, heads, 80, 80)
    for start, side in ((0, 4), (16, 8)):
        for a in range(side * side):
            for b in range(side * side):
                down, right = a // side - b // side + 7, a % side - b % side + 7
                mask[0, :, start + a, start + b] = table[down * 15 + right]
    with torch.no_grad():
        places = stream._all_token_indices(make_images(128))
        bias = stream._joint_bias(attn, stream._search_bias(attn, places, 16), 16)
    assert bias is not None and torch.allclose(bias[:1], mask, atol=1e-7)
    assert mask.abs().max() > 0


def test_elimination_keeps_the_bias_of_the_tokens_that_stay() -> None:
    model = make_tracker_model("vit_tiny_rpe", candidate_elimination=CE)
    with torch.no_grad():
        places = torch.tensor([[5, 60, 3], [9, 2, 63]])
        attn = model.backbone.vit.blocks[0].attn
        picked = model.backbone._search_bias(attn, places, 2)
        whole = model.backbone._search_bias(attn, model.backbone._all_token_indices(make_images(128)), 0)
    assert picked is not None and whole is not None
    assert torch.equal(picked[1, :, 0, 2:], whole[0, :, 9][:, places[1]])
    assert (picked[..., :2] == 0).all()


def norm_operations(model: TrackerModel, inputs: list[Tensor]) -> int:
    """What the counter behind the published figures (thop) adds for norms: 4 for each element that one puts out."""
    seen: list[int] = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: seen.append(4 * out.numel()))
        for module in model.modules()
        if isinstance(module, torch.nn.LayerNorm | torch.nn.BatchNorm2d)
    ]
    with torch.no_grad():
        model(*inputs)
    for hook in hooks:
        hook.remove()
    return sum(seen)


@pytest.mark.parametrize(
    ("backbone", "parameters", "macs", "with_elimination"),
    [("vit_tiny", 8.08, 2.39, 1.92), ("vit_base", 92.52, 29.05, 21.52)],
)
def test_sizes(backbone: str, parameters: float, macs: float, with_elimination: float) -> None:
    """Convolutions and linear layers alone are a little less: 2.383 and 1.913 for ViT-Tiny, 29.024 and 21.505 for B."""
    vit = create_backbone(backbone, checkpoint="random", num_classes=0).model
    inputs = [torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 256, 256)]
    for elimination, expected in ((None, macs), (CandidateElimination(), with_elimination)):
        model = TrackerModel(vit, 128, 256, MEAN, STD, candidate_elimination=elimination).eval()
        counts = compute_complexity(model, inputs)
        total = counts.macs_without_attention + norm_operations(model, inputs)
        assert round(counts.parameters / 1e6, 2) == parameters
        assert round(total / 1e9, 2) == expected


def test_token_counts() -> None:
    assert count_kept_tokens(256, 0.7, 3) == [256, 180, 126, 89]
    assert count_kept_tokens(576, 0.7, 3) == [576, 404, 283, 199]
    assert count_kept_tokens(196, 0.7, 3) == [196, 138, 97, 68]


def test_schedule_of_the_elimination() -> None:
    shares = [
        round(compute_keep_ratio(CandidateElimination(), epoch), 4) for epoch in (0, 20, 30, 40, 60, 80, 99, 100, 300)
    ]
    assert shares == [1.0, 1.0, 0.9886, 0.9561, 0.85, 0.7439, 0.7001, 0.7, 0.7]


@pytest.mark.parametrize(("template", "grid_index"), [(128, 3 * 8 + 3), (192, 5 * 12 + 5)])
def test_centre_token(template: int, grid_index: int) -> None:
    assert make_tracker_model("vit_tiny", template, 2 * template).backbone.center_index == grid_index


def test_training_keeps_what_the_schedule_says_and_evaluation_the_end() -> None:
    model = make_tracker_model(candidate_elimination=CE)
    model.train()
    model.train_keep_ratio = 1.0
    with torch.no_grad():
        assert not (model.backbone(make_images(64), make_images(128)) == 0).all(-1).any()
        model(make_images(64), make_images(128))
        assert model.backbone.keep_ratio == 1.0
        model.eval()(make_images(64), make_images(128))
    assert model.backbone.keep_ratio == 0.7


def test_decoding_by_hand() -> None:
    score = torch.zeros(1, 4, 4)
    score[0, 2, 1] = 0.9
    size, offset = torch.full((1, 2, 4, 4), 0.5), torch.zeros(1, 2, 4, 4)
    size[0, :, 2, 1] = torch.tensor([0.3, 0.2])
    offset[0, :, 2, 1] = torch.tensor([0.25, -0.5])
    maps = HeadMaps(score, size, offset)
    assert decode_boxes(score, maps)[0].tolist() == pytest.approx([1.25 / 4, 1.5 / 4, 0.3, 0.2])
    assert gather_boxes(torch.tensor([3]), maps)[0].tolist() == pytest.approx([3 / 4, 0, 0.5, 0.5])


def test_losses_are_put_together_as_stated() -> None:
    model = make_tracker_model()
    pixels = torch.randint(0, 256, (2, 3, 128, 128), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    box = torch.tensor([[0.25, 0.25, 0.5, 0.5], [0.375, 0.375, 0.25, 0.25]])
    with torch.no_grad():
        losses = model(pixels[..., :64, :64], pixels, box, mode="loss")
        maps = model(*(model.normalize_images(part) for part in (pixels[..., :64, :64], pixels)))
        predicted = decode_boxes(maps.score, maps)
        x1, y1, x2, y2 = (predicted[:, i] + sign * predicted[:, i + 2] / 2 for sign in (-1, 1) for i in (0, 1))
    corners = torch.stack([x1, y1, x2, y2], 1)
    truth = torch.tensor([[0.25, 0.25, 0.75, 0.75], [0.375, 0.375, 0.625, 0.625]])
    assert float(losses["loss_l1"]) == pytest.approx(5 * float((corners - truth).abs().mean()), rel=1e-5)
    outcomes = model(pixels[..., :64, :64], pixels, box, torch.tensor([7, 8]), mode="predict")
    assert [outcome.pair_index for outcome in outcomes] == [7, 8]
    assert sum(outcome.iou for outcome in outcomes) / 2 == pytest.approx(float(losses["iou"]), abs=1e-6)


def test_size_and_offset_can_be_taught_at_the_true_cell() -> None:
    model = make_tracker_model(box_loss_cell="center")
    pixels = torch.zeros(1, 3, 128, 128)
    box = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
    maps = model(*(model.normalize_images(part) for part in (pixels[..., :64, :64], pixels)))
    maps.size.retain_grad()
    model._compute_losses(maps, box)["loss_giou"].backward()
    assert maps.size.grad is not None
    assert [int(i) for i in torch.nonzero(maps.size.grad[0].abs().sum(0)).flatten()] == [8, 8]


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ("hiera_lite", "cannot be a one-stream tracker: template and search tokens share one sequence"),
        ("swin_lite", "cannot be a one-stream tracker"),
        ("timm/eva02_tiny_patch14_224", "crops of 64 and 128 px cannot be divided into the 14 x 14 patches"),
        ("timm/cait_xxs24_224", "Cait cannot be a one-stream tracker: template and search tokens share one sequence"),
        ("timm/xcit_nano_12_p16_224", "Xcit cannot be a one-stream tracker"),
        ("timm/vit_tiny_r_s16_p8_224", "its patches come from HybridEmbed"),
        ("timm/beit_base_patch16_224", "Beit cannot be a one-stream tracker"),
        ("timm/vit_relpos_small_patch16_224", "cannot be a one-stream tracker"),
        ("timm/vit_small_patch16_18x2_224", "its blocks consist of ParallelThingsBlock"),
        ("vit_cifar", "crops of 64 and 128 px cannot be divided into the 3 x 3 patches"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(backbone: str, words: str) -> None:
    vit = create_backbone(backbone, checkpoint="random", num_classes=0).model
    with pytest.raises(UserError, match=words):
        TrackerModel(vit, 64, 128, MEAN, STD)


@pytest.mark.parametrize(
    "backbone",
    [
        "deit_tiny",
        "vit_tiny",
        "beit_tiny",
        "vit_tiny_rpe",
        "deit_tiny_12h",
        "timm/deit_tiny_distilled_patch16_224",
        "timm/vit_wee_patch16_reg1_gap_256",
        "timm/vit_tiny_patch16_dinov3_qkvb",
        "timm/vit_small_patch16_rope_mixed_ape_224",
    ],
)
def test_plain_vits_fit_and_every_used_weight_learns(backbone: str) -> None:
    vit = create_backbone(backbone, checkpoint="random", num_classes=0).model
    model = TrackerModel(vit, 64, 128, MEAN, STD)
    box = torch.tensor([[0.25, 0.25, 0.5, 0.5]] * 2)
    losses = model(torch.zeros(2, 3, 64, 64), 255 * torch.rand(2, 3, 128, 128), box, mode="loss")
    sum(value for name, value in losses.items() if "loss" in name).backward()
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, "several processes would wait for their gradients forever"
