from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import Tensor, nn

from backbones.architectures.rpe import resample_rel_pos_table
from backbones.checkpoints.load_weights import load_tensors
from foundation.errors import UserError
from tests.backbones.architectures.checks import (
    assert_gradients_everywhere,
    count_gmacs,
    count_parameters,
    create_on_meta,
)


def make(plain: bool = False, **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    settings = {"img_size": 64, "depth": 2, "num_classes": 5, **arguments}
    return timm.create_model("vit_tiny_12h" if plain else "vit_tiny_12h_rpe", **settings).eval()


def fill_tables(model: nn.Module) -> None:
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if name.endswith("relative_position_bias_table"):
            nn.init.normal_(parameter)


def expected_bias(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """The bias by BEiT's definition, one pair of tokens at a time."""
    height, width = grid
    places = [(row, column) for row in range(height) for column in range(width)]
    bias = torch.empty(table.shape[1], len(places) + 1, len(places) + 1)
    bias[:, 0, :], bias[:, :, 0] = table[-3][:, None], table[-2][:, None]
    bias[:, 0, 0] = table[-1]
    for i, (row, column) in enumerate(places):
        for j, (other_row, other_column) in enumerate(places):
            offset = (row - other_row + height - 1) * (2 * width - 1) + column - other_column + width - 1
            bias[:, i + 1, j + 1] = table[offset]
    return bias[None]


@pytest.mark.parametrize(
    ("name", "count"),
    [("vit_tiny_12h_rpe", 5_822_824), ("vit_small_12h_rpe", 22_156_072), ("vit_base_rpe", 86_673_064)],
)
def test_counts(name: str, count: int) -> None:
    model = create_on_meta(name)
    assert count_parameters(model) == count
    table = model.blocks[0].attn.relative_position_bias_table
    assert table.shape == (27 * 27 + 3, 12)
    assert model.pos_embed is not None


def test_macs_are_those_of_the_plain_vit() -> None:
    assert count_gmacs(create_on_meta("vit_tiny_12h_rpe"), 224) == pytest.approx((1.254, 1.075), abs=6e-4)


@pytest.mark.parametrize("dynamic", [False, True])
def test_zero_tables_change_nothing(dynamic: bool) -> None:
    plain, relative = make(plain=True, dynamic_img_size=dynamic), make(dynamic_img_size=dynamic)
    missing = relative.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == [f"blocks.{i}.attn.relative_position_bias_table" for i in range(2)]
    assert not any(bool(block.attn.relative_position_bias_table.any()) for block in relative.blocks)
    for side in (64, 96) if dynamic else (64,):
        image = torch.randn(2, 3, 64, side)
        with torch.no_grad():
            torch.testing.assert_close(relative(image), plain(image), rtol=0, atol=1e-6)


def test_start_is_beits_where_it_is_asked_for() -> None:
    """The authors' class: deviation 0.02, branches divided by sqrt(2 l), and a classifier of 2e-5."""
    values = dict(make(beit_init=True, num_classes=200).named_parameters())
    deviations = {
        "head.weight": 2e-5,
        "patch_embed.proj.weight": 0.02,
        "cls_token": 0.02,
        "blocks.0.attn.qkv.weight": 0.02,
        "blocks.0.attn.proj.weight": 0.02 / math.sqrt(2),
        "blocks.1.attn.proj.weight": 0.02 / math.sqrt(4),
        "blocks.1.mlp.fc2.weight": 0.02 / math.sqrt(4),
    }
    for name, deviation in deviations.items():
        # five standard errors
        rel = 5 / math.sqrt(2 * values[name].numel())
        assert float(values[name].detach().std()) == pytest.approx(deviation, rel=rel), name
    assert not any(bool(values[name].any()) for name in ("head.bias", "patch_embed.proj.bias", "blocks.0.mlp.fc1.bias"))
    assert float(make(num_classes=200).head.weight.detach().std()) == pytest.approx(0.02, rel=0.02), "not asked for"


@pytest.mark.parametrize("grid", [(4, 4), (2, 5)])
def test_the_bias_is_beits(grid: tuple[int, int]) -> None:
    model = make(img_size=(grid[0] * 16, grid[1] * 16))
    fill_tables(model)
    attention = model.blocks[1].attn
    table = attention.relative_position_bias_table.detach()
    assert torch.equal(attention.compute_bias().detach(), expected_bias(table, grid))


def test_the_bias_is_added_to_the_logits() -> None:
    model = make()
    fill_tables(model)
    attention, tokens = model.blocks[0].attn, torch.randn(2, 17, 192)
    with torch.no_grad():
        q, k, v = attention.qkv(tokens).view(2, 17, 3, 12, 16).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-2, -1) / 4 + expected_bias(attention.relative_position_bias_table, (4, 4))
        expected = attention.proj((logits.softmax(-1) @ v).transpose(1, 2).reshape(2, 17, 192))
        torch.testing.assert_close(attention(tokens), expected, rtol=1e-4, atol=1e-5)
        attention.fused_attn = False
        torch.testing.assert_close(attention(tokens), expected, rtol=1e-4, atol=1e-5)


def test_tables_are_not_shared() -> None:
    first, second = (block.attn.relative_position_bias_table for block in make().blocks)
    assert first is not second


def test_resize_is_identity_at_the_same_grid() -> None:
    table = torch.randn(27 * 27 + 3, 12)
    assert resample_rel_pos_table(table, (14, 14), (14, 14)) is table


@pytest.mark.parametrize(("old", "new"), [((14, 14), (32, 32)), ((14, 14), (4, 6)), ((3, 5), (6, 2))])
def test_resize_keeps_class_rows_and_the_shape_of_the_field(old: tuple[int, int], new: tuple[int, int]) -> None:
    table = torch.randn((2 * old[0] - 1) * (2 * old[1] - 1) + 3, 12)
    resized = resample_rel_pos_table(table, old, new)
    assert resized.shape == ((2 * new[0] - 1) * (2 * new[1] - 1) + 3, 12)
    assert torch.equal(resized[-3:], table[-3:])
    rows = torch.arange(2 * old[0] - 1.0)[:, None].expand(-1, 2 * old[1] - 1).reshape(-1, 1)
    ramp = resample_rel_pos_table(torch.cat([rows, torch.zeros(3, 1)]), old, new)[:-3].view(2 * new[0] - 1, -1)
    assert ramp.std(1).max() < 1e-4  # a field of rows stays one
    assert ramp[new[0] - 1, 0] == pytest.approx(old[0] - 1, abs=1e-4)  # and offset zero stays in the middle


def test_run_at_another_size_interpolates_and_equals_a_model_resized_to_it() -> None:
    dynamic = make(dynamic_img_size=True)
    fill_tables(dynamic)
    image = torch.randn(2, 3, 48, 96)
    resized = make(dynamic_img_size=True)
    resized.load_state_dict(dynamic.state_dict())
    resized.set_input_size((48, 96))
    assert resized.blocks[0].attn.relative_position_bias_table.shape == (5 * 11 + 3, 12)
    with torch.no_grad():
        before = dynamic(torch.ones(1, 3, 64, 64))
        torch.testing.assert_close(dynamic(image), resized(image), rtol=1e-4, atol=1e-5)
        assert torch.equal(dynamic(torch.ones(1, 3, 64, 64)), before)  # nothing of the other size is left behind


def test_gradients_reach_every_parameter_at_another_size_too() -> None:
    assert_gradients_everywhere(make(dynamic_img_size=True), torch.randn(2, 3, 48, 80))
    assert_gradients_everywhere(make(global_pool="avg"), torch.randn(2, 3, 64, 64))


def test_intermediates_not_square() -> None:
    model = make(dynamic_img_size=True)
    with torch.no_grad():
        taps = model.forward_intermediates(torch.randn(1, 3, 32, 80), indices=[0, 1], intermediates_only=True)
    assert [tap.shape for tap in taps] == [(1, 192, 2, 5)] * 2


def test_tokens_that_are_no_grid_are_refused() -> None:
    with pytest.raises(UserError, match="class token and all 4x4 patches"):
        make().blocks[0](torch.randn(1, 12, 192))


def test_masks_are_applied_on_top() -> None:
    model = make()
    fill_tables(model)
    attention, tokens = model.blocks[0].attn, torch.randn(1, 17, 192)
    keep = torch.ones(17, 17, dtype=torch.bool)
    keep[:, 5] = False
    changed = tokens.clone()
    changed[:, 5] += 1.0
    with torch.no_grad():
        first, second = attention(tokens, attn_mask=keep), attention(changed, attn_mask=keep)
        added = attention(tokens, attn_mask=torch.zeros(17, 17).masked_fill(~keep, float("-inf")))
    others = [i for i in range(17) if i != 5]
    assert torch.equal(first[:, others], second[:, others])
    torch.testing.assert_close(first, added)


def test_low_precision() -> None:
    model = make(dynamic_img_size=True)
    fill_tables(model)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert bool(model(image).isfinite().all())
    model.bfloat16()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 48, 64, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_layer_decay_puts_a_table_in_its_block() -> None:
    from timm.models import group_parameters

    model = make()
    ids = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    name = "blocks.1.attn.{}".format
    assert ids[name("relative_position_bias_table")] == ids[name("qkv.weight")]


def test_tables_of_a_file_follow_the_size_of_the_model() -> None:
    """As positions do, at whatever size a protocol creates the backbone; the tables are those of ``set_input_size``."""
    small, large = make(), make(img_size=96)
    fill_tables(small)
    report = load_tensors(large, small.state_dict(), allow_partial=False, source="x.pth")
    assert report.is_complete and len(report.resized) == 3, "the positions and two tables"
    small.set_input_size(96)
    for ours, timms in zip(large.blocks, small.blocks, strict=True):
        table = timms.attn.relative_position_bias_table
        assert torch.equal(ours.attn.relative_position_bias_table, table) and table.abs().max() > 0
