"""Gradients of enlarging and of pooling maps as matrix products: the same in every run, and fast on a GPU.

torch's own backward passes of both add with atomic operations on a GPU, in another order each time. In the
deterministic mode it therefore replaces the bilinear enlargement by one made of indexed reads, whose backward pass
sorts all indices; and adaptive pooling has no deterministic form at all. Both functions are linear and separable,
``y = R x C^T`` with a small matrix for the rows and one for the columns, so the gradient is ``R^T g C``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode


def use_exact_gradients(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which bilinear enlargement and adaptive pooling have exact gradients on a GPU.

    On a CPU, whose own backward passes are deterministic, nothing changes.

    Args:
        device: of the model.
    """
    return _ExactGradients() if device.type == "cuda" else nullcontext()


class _ExactGradients(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Replace the two functions; all others are called as they are."""
        kwargs = kwargs or {}
        if func is F.interpolate and (size := _find_bilinear_size(*args, **kwargs)):
            return enlarge_maps(args[0] if args else kwargs["input"], size, bool(kwargs.get("align_corners", False)))
        if func is F.adaptive_avg_pool2d and args and args[0].dim() == 4:
            return pool_maps(args[0], *args[1:], **kwargs)
        return func(*args, **kwargs)


def _find_bilinear_size(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *others: Any, **kwargs: Any
) -> tuple[int, int] | None:
    """Return the size of a plain bilinear enlargement of maps, which is the only form that is replaced here."""
    if mode != "bilinear" or size is None or input.dim() != 4 or others or kwargs.get("antialias"):
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def enlarge_maps(maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Resize maps bilinearly, as ``torch.nn.functional.interpolate`` does, with an exact gradient.

    Args:
        maps: shape (N, C, height, width).
        size: new height and width.
        align_corners: as in ``interpolate``.

    Returns:
        Shape (N, C, *size), equal to that of ``interpolate``.
    """

    def resize(values: Tensor, length: tuple[int, int]) -> Tensor:
        # the kernel itself: ``interpolate`` would take the slow form in the deterministic mode
        larger: Tensor = torch.ops.aten.upsample_bilinear2d(values, list(length), align_corners, None, None)
        return larger

    return _apply_separable(maps, size, resize)


def pool_maps(maps: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """Average maps over a grid of cells, as ``torch.nn.functional.adaptive_avg_pool2d`` does, with an exact gradient.

    Args:
        maps: shape (N, C, height, width).
        output_size: rows and columns of cells; None keeps a side.
    """
    wanted = (output_size, output_size) if isinstance(output_size, int) else output_size
    height, width = (side or own for side, own in zip(wanted, maps.shape[2:], strict=True))

    def pool(values: Tensor, length: tuple[int, int]) -> Tensor:
        pooled: Tensor = torch.ops.aten._adaptive_avg_pool2d(values, list(length))
        return pooled

    return _apply_separable(maps, (height, width), pool)


Resize = Callable[[Tensor, tuple[int, int]], Tensor]


def _apply_separable(maps: Tensor, size: tuple[int, int], resize: Resize) -> Tensor:
    found: Tensor = _Separable.apply(maps, size, resize)
    return found


class _Separable(torch.autograd.Function):
    """A linear function of maps that acts on rows and on columns one after the other."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, size: tuple[int, int], resize: Resize) -> Tensor:
        ctx.sides, ctx.size, ctx.resize = tuple(maps.shape[2:]), size, resize
        return resize(maps, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (height, width), (rows, columns) = ctx.sides, ctx.size
        # what the function makes of unit vectors are the columns of its matrix
        down = ctx.resize(_make_units(height, gradient), (rows, 1))[:, 0, :, 0]  # (height, rows), R transposed
        across = ctx.resize(_make_units(width, gradient).transpose(2, 3), (1, columns))[:, 0, 0]  # (width, columns)
        return down @ gradient @ across.T, None, None


def _make_units(length: int, like: Tensor) -> Tensor:
    """Return unit vectors as maps of one column, (length, 1, length, 1)."""
    return torch.eye(length, dtype=like.dtype, device=like.device)[:, None, :, None]
