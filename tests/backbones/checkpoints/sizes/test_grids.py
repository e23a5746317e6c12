"""The grid of a table: what is stated counts first, then the structure, then the model's, and a guess is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from backbones.checkpoints.sizes.grids import GridChoice, choose_grid, find_smoother_grid, find_stated_size


def make_waves(rows: int, columns: int, channels: int = 64) -> Tensor:
    """A smooth embedding, shape (rows * columns, channels): plane waves of random directions and phases."""
    generator = torch.Generator().manual_seed(0)
    direction, phase = torch.randn(channels, 2, generator=generator), 6 * torch.rand(channels, generator=generator)
    y, x = torch.meshgrid(torch.linspace(0, 3, rows), torch.linspace(0, 3, columns), indexing="ij")
    return torch.sin(torch.stack([y.flatten(), x.flatten()], 1) @ direction.T + phase)


def make_noise(count: int, channels: int = 64) -> Tensor:
    return 0.02 * torch.randn(count, channels, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (8, 32), (32, 8), (4, 64)])
@pytest.mark.parametrize("target", [(8, 32), (32, 8), (4, 64)])
def test_structure_decides_where_a_square_is_possible_too(rows: int, columns: int, target: tuple[int, int]) -> None:
    choice = choose_grid(make_waves(rows, columns), target)
    assert choice is not None
    if (rows, columns) == (16, 16):
        assert choice.size == (16, 16)
        assert "more alike" in choice.reason
    elif (rows, columns) == target:
        assert choice.size == target


def test_an_untrained_table_is_the_models_and_the_report_says_so() -> None:
    choice = choose_grid(make_noise(256), (8, 32))
    assert choice == GridChoice(
        (8, 32), "read as a grid of 8x32 like the model's: the file does not say whether it is square"
    )


def test_noise_never_shows_a_structure() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(300):
        assert find_smoother_grid(torch.randn(64, 48, generator=generator), (8, 8), (4, 16)) is None


def test_few_channels_are_no_evidence() -> None:
    assert find_smoother_grid(make_waves(16, 16, channels=8), (16, 16), (8, 32)) is None


def test_a_constant_channel_is_left_out() -> None:
    table = torch.cat([make_waves(16, 16), torch.ones(256, 9)], dim=1)
    assert find_smoother_grid(table, (16, 16), (8, 32)) == (16, 16)


@pytest.mark.parametrize("target", [(16, 16), (8, 32), (12, 12)])
@pytest.mark.parametrize(("size", "expected"), [((128, 512), (8, 32)), ((512, 128), (32, 8)), ((224, 224), (16, 16))])
def test_a_stated_size_counts_before_everything(
    size: tuple[int, int], expected: tuple[int, int], target: tuple[int, int]
) -> None:
    choice = choose_grid(make_waves(16, 16), target, size)
    assert choice is not None
    assert choice.size == expected


def test_patches_that_are_not_square_count() -> None:
    for patch, expected in (((4, 16), (8, 2)), ((16, 4), (2, 8)), ((8, 8), (4, 4))):
        choice = choose_grid(make_noise(16), expected, (32, 32), patch_size=patch)
        assert choice == GridChoice(expected, choice.reason if choice and expected != (4, 4) else "")


def test_a_stated_size_of_another_table_gives_way_to_a_clear_structure() -> None:
    # timm states what it trained at; with dynamic_img_size the table stays that of 224 px, 14 x 14
    for table, expected in ((make_waves(14, 14), (14, 14)), (make_waves(7, 28), (7, 28)), (make_noise(196), (7, 28))):
        choice = choose_grid(table, (14, 14), (128, 512), patch_size=(16, 16))
        assert choice is not None
        assert choice.size == expected
    # 8 x 32 patches of 16 px are what 128 x 512 px have
    choice = choose_grid(make_waves(16, 16), (16, 16), (128, 512), patch_size=(16, 16))
    assert choice is not None
    assert choice.size == (8, 32)


def test_a_size_that_is_no_multiple_of_the_patch_tells_the_grid() -> None:
    choice = choose_grid(make_noise(8 * 31), (14, 14), (130, 500))
    assert choice is not None
    assert choice.size == (8, 31)


def test_a_stated_size_that_does_not_fit_is_not_used() -> None:
    assert choose_grid(make_noise(28), (14, 14), (224, 224)) is None
    assert choose_grid(make_noise(28), (4, 7), (224, 224)) == GridChoice((4, 7))


def test_what_is_usual_needs_no_sentence() -> None:
    assert choose_grid(make_noise(196), (14, 14)) == GridChoice((14, 14))
    assert choose_grid(make_noise(196), (32, 32), (224, 224)) == GridChoice((14, 14))
    guessed = choose_grid(make_noise(196), (32, 32))
    assert guessed == GridChoice((14, 14), "read as a grid of 14x14: assumed square, since the file does not say")


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({"input_size": 224}, (224, 224)),  # MAE, DeiT
        ({"input_size": [3, 128, 512]}, (128, 512)),  # timm
        ({"img_size": [128, 512], "input_size": None}, (128, 512)),  # timm
        ({"img_size": "[128, 512]"}, (128, 512)),  # safetensors metadata
        ({"img_size": "224"}, (224, 224)),
        ({"img_size": "large"}, None),
        ({"img_size": True}, None),
        ({"img_size": 0}, None),
        ({"img_size": [1, 2, 3, 4]}, None),
        ({"img_size": {"a": 1}}, None),
        ({}, None),
    ],
)
def test_stated_sizes(arguments: dict[str, Any], size: tuple[int, int] | None) -> None:
    assert find_stated_size(arguments) == size
