"""Windowed ViTs against timm's SAM block, timm's own forward pass, and attention written out with masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from timm.models.eva import Eva
from timm.models.vision_transformer import Block, VisionTransformer
from timm.models.vision_transformer_sam import Block as SamBlock
from timm.models.vision_transformer_sam import get_rel_pos
from torch import Tensor, nn
from torch.nn import functional

from backbones.architectures.block_parts import project_qkv
from backbones.create import create_backbone
from backbones.registry import get_card
from detection.models.plain_vit import WindowedViT, _run_block, choose_global_blocks, takes_windows
from detection.models.window_attention import (
    RelativePositions,
    attend_in_grid,
    gather_offsets,
    join_windows,
    split_windows,
)
from foundation.errors import UserError

DOUBLE = torch.float64


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE)


def make_vit(**settings: Any) -> VisionTransformer:
    torch.manual_seed(1)
    own = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 0}
    model = VisionTransformer(**{**own, **settings}).to(DOUBLE).eval()
    for parameter in model.parameters():  # also norms and biases, which start at 1 and 0
        nn.init.normal_(parameter, std=0.3)
    return model


def make_positions(side: int, channels: int) -> RelativePositions:
    positions = RelativePositions(side, channels).to(DOUBLE)
    for table in positions.parameters():
        nn.init.normal_(table)
    return positions


def copy_block(block: Block, positions: RelativePositions, window: int, grid: tuple[int, int]) -> SamBlock:
    """Return timm's SAM block with the weights of another block, name by name."""
    twin = SamBlock(16, 2, use_rel_pos=True, window_size=window, input_size=grid, norm_layer=type(block.norm1)).to(
        DOUBLE
    )
    weights = {**block.state_dict(), "attn.rel_pos_h": positions.height.detach()}
    weights["attn.rel_pos_w"] = positions.width.detach()
    assert len(weights) == 14
    twin.load_state_dict(weights)
    for norm, own in ((twin.norm1, block.norm1), (twin.norm2, block.norm2)):
        norm.eps = own.eps
    return twin.eval()


@pytest.mark.parametrize("window", [3, 0], ids=["windows", "global"])
@pytest.mark.parametrize("grid", [(5, 5), (4, 7), (6, 3)], ids=str)
def test_a_block_equals_that_of_sam(window: int, grid: tuple[int, int]) -> None:
    """A grid of 5 is filled up to 6; the zeros come after the norm, and take part as keys with the biases alone."""
    block = make_vit().blocks[0]
    positions = make_positions(window or 5, 8)
    if not window:  # one table per axis, as SAM makes them for a grid that is not square
        positions.height, positions.width = (nn.Parameter(draw(2 * side - 1, 8)) for side in grid)
    cells = draw(2, *grid, 16)
    expected = copy_block(block, positions, window, grid)(cells)
    torch.testing.assert_close(_run_block(block, cells, window, positions, None), expected, rtol=1e-10, atol=1e-10)


def attend_with_mask(block: Any, cells: Tensor, window: int, positions: RelativePositions) -> Tensor:
    """Compute attention over the complete grid in which a cell sees its own window alone, pair by pair."""
    rows, columns = cells.shape[1:3]
    q, k, v = project_qkv(block.attn, cells.flatten(1, 2))
    logits = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    places = [(row, column) for row in range(rows) for column in range(columns)]
    for a, (i, j) in enumerate(places):
        for b, (m, n) in enumerate(places):
            if (i // window, j // window) != (m // window, n // window):
                logits[:, :, a, b] = -torch.inf
            else:
                both = positions.height[i - m + window - 1] + positions.width[j - n + window - 1]
                logits[:, :, a, b] += q[:, :, a] @ both  # the query is not scaled
    out = (logits.softmax(-1) @ v).transpose(1, 2).flatten(2)
    return block.attn.proj(out).unflatten(1, (rows, columns))


def test_windows_are_full_attention_with_a_mask() -> None:
    block, positions, cells = make_vit().blocks[0], make_positions(3, 8), draw(1, 6, 3, 16)
    with torch.no_grad():
        found = join_windows(attend_in_grid(block.attn, split_windows(cells, 3), positions, None), (6, 3))
        torch.testing.assert_close(found, attend_with_mask(block, cells, 3, positions), rtol=1e-10, atol=1e-10)


def test_filled_up_cells_are_not_masked() -> None:
    """Attention of 2 x 2 cells in a window of 3: five zeros beside them, whose keys are the bias."""
    block, cells = make_vit().blocks[0], draw(1, 2, 2, 16)
    padded = functional.pad(cells, (0, 0, 0, 1, 0, 1))
    with torch.no_grad():
        whole = block.attn(padded.flatten(1, 2)).unflatten(1, (3, 3))[:, :2, :2]
        found = join_windows(attend_in_grid(block.attn, split_windows(cells, 3), None, None), (2, 2))
        torch.testing.assert_close(found, whole, rtol=1e-10, atol=1e-10)
        alone = block.attn(cells.flatten(1, 2)).unflatten(1, (2, 2))
    assert (found - alone).abs().max() > 1e-3, "masked padding would be another model"


@pytest.mark.parametrize(("old", "new"), [(3, 5), (5, 3), (4, 4)])
def test_tables_are_resized_as_sam_does(old: int, new: int) -> None:
    table = draw(2 * old - 1, 8)
    torch.testing.assert_close(gather_offsets(table, new), get_rel_pos(new, new, table), rtol=1e-12, atol=1e-12)


def test_the_start_is_the_plain_vit() -> None:
    """With tables of zeros, global blocks and the own size, the map is that of timm's forward pass."""
    vit = make_vit(class_token=False, global_pool="avg", dynamic_img_size=True, init_values=0.1, qk_norm=True)
    images = draw(2, 3, 32, 32)
    with torch.no_grad():
        expected = vit.forward_intermediates(images, indices=[1], intermediates_only=True)[0]
        body = WindowedViT(vit, 32, window=0)
        torch.testing.assert_close(body.to(DOUBLE)(images)[0], expected, rtol=1e-10, atol=1e-10)
    assert all(not table.any() for table in body.rel_pos.parameters())


def run_in_windows(vit: VisionTransformer, images: Tensor, global_blocks: tuple[int, ...]) -> Tensor:
    """Return the map of timm's own blocks, each run on the tokens of a window; two by two windows, without padding."""
    rows, columns = vit.patch_embed.grid_size
    half = (rows // 2, columns // 2)
    tokens = vit.patch_embed(images) + vit.pos_embed[:, 1:]
    for index, block in enumerate(vit.blocks):
        if index in global_blocks:
            tokens = block(tokens)
            continue
        cells = tokens.reshape(-1, 2, half[0], 2, half[1], vit.embed_dim).permute(0, 1, 3, 2, 4, 5)
        cells = block(cells.reshape(-1, half[0] * half[1], vit.embed_dim)).reshape(-1, 2, 2, *half, vit.embed_dim)
        tokens = cells.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * columns, vit.embed_dim)
    return tokens.transpose(1, 2).unflatten(2, (rows, columns))


def test_the_start_with_windows_is_the_plain_vit_in_windows() -> None:
    vit, images = make_vit(depth=3), draw(2, 3, 32, 32)
    expected = run_in_windows(vit, images, (2,))
    (found,) = WindowedViT(vit, 32, window=2, global_blocks=[2]).to(DOUBLE)(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_weights_of_a_file_reach_the_windows(deit_file: Path) -> None:
    """On ``mini_coco`` these weights are no better than none; this says that they are there."""
    plain = VisionTransformer(embed_dim=192, num_heads=3)
    plain.load_state_dict({name: value.float() for name, value in load_file(deit_file).items()})
    created = create_backbone(get_card("deit_tiny"), checkpoint=str(deit_file), img_size=224, num_classes=0)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        (found,) = WindowedViT(created.model, 224, window=7).eval()(images)
        expected = run_in_windows(plain.eval(), images, (2, 5, 8, 11))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_rotary_positions_are_those_of_the_grid() -> None:
    """A window uses its part of the grid's rotation: attention over all cells with a mask, as timm rotates them."""
    torch.manual_seed(2)
    settings = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2, "num_classes": 0}
    vit = Eva(**settings, class_token=False, use_rot_pos_emb=True, use_abs_pos_emb=False, global_pool="avg")
    vit = vit.to(DOUBLE).eval()
    images = draw(2, 3, 32, 32)
    window_of = torch.tensor([row // 2 * 2 + column // 2 for row in range(4) for column in range(4)])
    mask = window_of[:, None] == window_of[None]
    with torch.no_grad():
        expected = vit.forward_intermediates(images, indices=[0], intermediates_only=True)[0]
        whole = WindowedViT(vit, 32, window=2, global_blocks=[0], rel_pos=False)
        torch.testing.assert_close(whole(images)[0], expected, rtol=1e-10, atol=1e-10)
        block, rotation = vit.blocks[0], whole._compute_rotations((4, 4))[0]
        cells = draw(2, 4, 4, 16)
        masked = block(cells.flatten(1, 2), rope=rotation, attn_mask=mask)
        found = _run_block(block, cells, 2, None, rotation).flatten(1, 2)
    torch.testing.assert_close(found, masked, rtol=1e-10, atol=1e-10)


def test_own_relative_tables_are_used() -> None:
    """The bias of MAE-Lite's tables between two patches, row by row of the table."""
    vit = create_backbone("vit_tiny_rpe", checkpoint="random", num_classes=0, depth=1).model
    body = WindowedViT(vit, 224, window=2, rel_pos=False)
    attn: Any = vit.blocks[0].attn
    nn.init.normal_(attn.relative_position_bias_table)
    body.windows = [2]
    attn.set_grid((2, 2))
    cells = torch.randn(1, 2, 2, 192)
    with torch.no_grad():
        q, k, v = project_qkv(attn, cells.flatten(1, 2))
        logits = q @ k.transpose(-2, -1) / 4
        for a in range(4):
            for b in range(4):
                offset = (a // 2 - b // 2 + 1) * 3 + (a % 2 - b % 2 + 1)
                logits[0, :, a, b] += attn.relative_position_bias_table[offset]
        expected = attn.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2)).unflatten(1, (2, 2))
        torch.testing.assert_close(attend_in_grid(attn, cells, None, None), expected, rtol=1e-4, atol=1e-5)


def test_positions_keep_their_size_and_are_resized_bicubically() -> None:
    vit = make_vit()
    body = WindowedViT(vit, 48, window=3)
    assert body.trunk.pos_embed.shape == (1, 17, 16), "the row of the class token is kept and not used"
    chart = vit.pos_embed[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    expected = functional.interpolate(chart, size=(6, 3), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    torch.testing.assert_close(body._resize_positions((6, 3)), expected, rtol=1e-12, atol=1e-12)


def test_any_size_works_and_all_parameters_get_gradients() -> None:
    body = WindowedViT(make_vit(depth=3, reg_tokens=2), 48, window=3).to(DOUBLE)
    (found,) = body(draw(1, 3, 41, 64))
    assert found.shape == (1, 16, 6, 8), "41 px are filled up to 48"
    found.square().sum().backward()
    assert [name for name, each in body.named_parameters() if each.grad is None] == []
    assert not {"trunk.cls_token", "trunk.reg_token", "trunk.norm.weight"} & dict(body.named_parameters()).keys()


def test_global_blocks() -> None:
    assert [choose_global_blocks(depth) for depth in (1, 4, 6)] == [[0], [0, 1, 2, 3], [1, 2, 4, 5]]
    assert WindowedViT(make_vit(depth=4), 32, window=3, global_blocks=[1]).windows == [3, 0, 3, 3]
    with pytest.raises(UserError, match=r"global_blocks \[2\] names a block .* its 2 are 0 to 1"):
        WindowedViT(make_vit(), 32, global_blocks=[2])


def test_too_many_patches_are_refused() -> None:
    WindowedViT(make_vit(), 800)
    with pytest.raises(UserError, match=r"808 px in patches of 8 px are 101 x 101 patches.* set size to 800 or less"):
        WindowedViT(make_vit(), 808)


def test_other_blocks_take_no_windows() -> None:
    assert takes_windows(make_vit()) and not takes_windows(nn.Identity())
    assert not takes_windows(make_vit(block_fn=type("OtherBlock", (Block,), {})))
    assert not takes_windows(make_vit(patch_size=(8, 16)))
    assert takes_windows(create_backbone(get_card("vit_nano"), checkpoint="random").model)
