"""The gradients of enlarging and pooling as matrix products are torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from segmentation.models.exact_backward import _ExactGradients, enlarge_maps, pool_maps, use_exact_gradients


def compare(own: torch.Tensor, maps: torch.Tensor, other: torch.Tensor, same: torch.Tensor) -> None:
    weight = torch.randn(own.shape, dtype=own.dtype, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(own, other, atol=1e-14, rtol=1e-14)
    (own * weight).sum().backward()
    (other * weight).sum().backward()
    assert maps.grad is not None and same.grad is not None
    torch.testing.assert_close(maps.grad, same.grad, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(9, 11), (20, 28), (3, 2), (5, 7)])
def test_enlarging(size: tuple[int, int], align: bool) -> None:
    maps = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    same = maps.detach().clone().requires_grad_()
    compare(
        enlarge_maps(maps, size, align), maps, F.interpolate(same, size, mode="bilinear", align_corners=align), same
    )


@pytest.mark.parametrize("cells", [1, 2, 3, 6, (2, 3), (None, 4)])
def test_pooling(cells: int | tuple[int | None, int]) -> None:
    maps = torch.randn(2, 3, 8, 11, dtype=torch.float64, requires_grad=True)
    same = maps.detach().clone().requires_grad_()
    compare(pool_maps(maps, cells), maps, F.adaptive_avg_pool2d(same, cells), same)


def test_the_context_replaces_what_mmseg_calls() -> None:
    """Only on a GPU; here the context is entered by force, since it works on any device."""
    assert not isinstance(use_exact_gradients(torch.device("cpu")), _ExactGradients)
    assert isinstance(use_exact_gradients(torch.device("cuda")), _ExactGradients)
    maps = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    with _ExactGradients():
        for found in (
            F.interpolate(maps, size=(8, 8), mode="bilinear", align_corners=False),
            F.interpolate(maps, (8, 8), None, "bilinear"),
            torch.nn.AdaptiveAvgPool2d(2)(maps),
        ):
            assert "Separable" in type(found.grad_fn).__name__
        for found in (
            F.interpolate(maps, scale_factor=2),
            F.interpolate(maps, scale_factor=2, mode="bilinear"),
            F.interpolate(maps, (8, 8), mode="bicubic"),
        ):
            assert "Separable" not in type(found.grad_fn).__name__
