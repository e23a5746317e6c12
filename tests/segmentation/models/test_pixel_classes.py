"""Classes piece by piece: the same as from all logits at once, in a fraction of the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segmentation.models import pixel_classes
from segmentation.models.pixel_classes import PixelClasses, RowRange, average_windows, classify_pixels
from segmentation.models.sliding_window import WindowCorner, WindowLogits, WindowSettings, compute_window_logits

IMAGE_SIZE, NUM_CLASSES = (150, 190), 40
SETTINGS = {
    "slide": WindowSettings((48, 64), (31, 40), batch=3),
    "overlapping": WindowSettings((64, 64), (16, 24), batch=2),
    "filled up": WindowSettings((200, 200), (150, 150), is_filled_up=True),
    "whole": WindowSettings(None, divisor=(16, 16)),
}


def make_cells(images: torch.Tensor, is_channels_last: bool = False) -> torch.Tensor:
    """A network: logits of cells of 8 px that depend on the pixels and their place."""
    cells = functional.avg_pool2d(images, 8, ceil_mode=True)
    weights = torch.randn(NUM_CLASSES, 3, 3, 3, generator=torch.Generator().manual_seed(3))
    logits = functional.conv2d(cells, weights, padding=1)
    return logits.contiguous(memory_format=torch.channels_last) if is_channels_last else logits


def classify(settings: WindowSettings, size: tuple[int, int], is_channels_last: bool = False) -> PixelClasses:
    image = torch.randn(3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(4))
    windows = compute_window_logits(
        lambda images: make_cells(images, is_channels_last), lambda pixels: pixels, image, settings
    )
    return classify_pixels(windows, IMAGE_SIZE, size)


def classify_at_once(settings: WindowSettings, size: tuple[int, int]) -> torch.Tensor:
    """What the pieces must equal: all logits, enlarged by one call, and their argmax."""
    image = torch.randn(3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(4))
    windows = list(compute_window_logits(make_cells, lambda pixels: pixels, image, settings))
    logits = average_windows(windows, RowRange(0, *IMAGE_SIZE), slice(None))
    if size != IMAGE_SIZE:
        logits = functional.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
    return logits.argmax(0).to(torch.uint8)


@pytest.mark.parametrize("num_classes", [3, 7, 19, 33, 150])
@pytest.mark.parametrize(
    ("together", "is_channels_last"), [(1, False), (3, False), (4, False), (16, False), (16, True)]
)
def test_equal_logits_give_the_same_classes(
    num_classes: int, together: int, is_channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole numbers are often equal once they are enlarged, and then the last bit decides.

    Three maps are enlarged by other code of torch; maps with channels last in groups of vector instructions.
    """
    cells = torch.randint(0, 3, (num_classes, 31, 29), generator=torch.Generator().manual_seed(5)).float()
    if is_channels_last:
        cells = cells[None].contiguous(memory_format=torch.channels_last)[0]
    size = (410, 330)
    window = WindowLogits(WindowCorner(0, 0), size, size, cells)
    logits = functional.interpolate(cells[None], size, mode="bilinear", align_corners=False)[0]
    monkeypatch.setattr(pixel_classes, "MAX_TOGETHER", 1)
    monkeypatch.setattr(pixel_classes, "MAX_IN_PIECE", together * size[0] * size[1])
    found = classify_pixels([window], size, size).labels
    assert torch.equal(found, logits.argmax(0).to(torch.uint8))


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the number of elements of the largest tensor that an operator returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [each.numel() for each in tree_leaves(out) if isinstance(each, torch.Tensor)]
        self.num_elements = max(self.num_elements, *sizes, 0)
        return out


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("size", [IMAGE_SIZE, (75, 333), (400, 190)])
@pytest.mark.parametrize("piece", [1, 300_000, 700_000])
def test_pieces_give_the_same_classes(
    kind: str, size: tuple[int, int], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = classify_at_once(SETTINGS[kind], size)
    assert torch.equal(classify(SETTINGS[kind], size).labels, expected)
    monkeypatch.setattr(pixel_classes, "MAX_TOGETHER", 1)
    monkeypatch.setattr(pixel_classes, "MAX_IN_PIECE", piece)
    found = classify(SETTINGS[kind], size)
    assert torch.equal(found.labels, expected)
    assert torch.equal(classify(SETTINGS[kind], size, is_channels_last=True).labels, expected)
    assert found.is_finite
    assert found.labels.dtype == torch.uint8


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("size", [IMAGE_SIZE, (300, 380)])
def test_no_tensor_is_as_large_as_the_logits(kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    num_logits = NUM_CLASSES * size[0] * size[1]
    with LargestTensor() as at_once:
        classify(SETTINGS[kind], size)
    assert at_once.num_elements >= num_logits
    monkeypatch.setattr(pixel_classes, "MAX_TOGETHER", 1)
    monkeypatch.setattr(pixel_classes, "MAX_IN_PIECE", 1)
    with LargestTensor() as piecewise:
        classify(SETTINGS[kind], size)
    assert piecewise.num_elements <= num_logits / 9  # the image itself has 3 values per pixel, and here 40 classes


def test_the_first_of_equal_logits_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_classes, "MAX_TOGETHER", 1)
    monkeypatch.setattr(pixel_classes, "MAX_IN_PIECE", 1)
    cells = torch.zeros(1, 5, 2, 2)
    cells[0, 2:4, 0] = 1
    windows = compute_window_logits(lambda _: cells, lambda pixels: pixels, torch.zeros(3, 2, 2), WindowSettings(None))
    assert classify_pixels(windows, (2, 2), (2, 2)).labels.tolist() == [[2, 2], [0, 0]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_logit_that_is_not_finite_is_noted(value: float) -> None:
    cells = torch.zeros(1, 5, 2, 2)
    cells[0, 4, 1, 1] = value
    windows = compute_window_logits(lambda _: cells, lambda pixels: pixels, torch.zeros(3, 4, 4), WindowSettings(None))
    assert not classify_pixels(windows, (4, 4), (4, 4)).is_finite
