"""What a use of a backbone asks of it: pyramid features, tokens, pooled features, at any size that fits.

Pure functions over a timm model as ``create_backbone`` makes it; timm's own methods stay what they call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from timm.layers import PatchEmbed
from torch import Tensor, nn

from foundation.errors import UserError

ResultT = TypeVar("ResultT")
PoolingType = Literal["avg", "token"]


class TokenFeatures(NamedTuple):
    """A backbone's last tokens, after its final norm.

    Attributes:
        prefix: class and register tokens, (N, P, C); P may be 0.
        patches: patch tokens, row by row, (N, height * width of the grid, C).
        grid_size: rows and columns of the patch grid.
    """

    prefix: Tensor
    patches: Tensor
    grid_size: tuple[int, int]


def get_reductions(model: nn.Module) -> list[int]:
    """Pixels a cell of each feature map is wide: one number a block of a plain ViT, one a stage of a hierarchy.

    Raises:
        UserError: the model does not say (no ``feature_info``).
    """
    info: Any = getattr(model, "feature_info", None)
    if info is None or not hasattr(model, "forward_intermediates"):
        raise UserError(
            f"{type(model).__name__} gives no features at depths; a backbone for dense tasks needs timm's "
            "feature_info and forward_intermediates"
        )
    return [int(item["reduction"]) for item in (info if isinstance(info, list) else info.get_dicts())]


def is_plain_backbone(model: nn.Module) -> bool:
    """Whether every feature map has one resolution, as in a plain ViT."""
    return len(set(get_reductions(model))) == 1


def default_out_indices(model: nn.Module) -> list[int]:
    """The depths a dense head reads when none are named.

    A plain ViT of 12 blocks: 3, 5, 7, 11 (as in the ADE20K configurations of BEiT and MAE); of another depth: the
    end of each quarter. A hierarchy: its last four stages.
    """
    depth = len(get_reductions(model))
    if not is_plain_backbone(model):
        return list(range(max(depth - 4, 0), depth))
    return [3, 5, 7, 11] if depth == 12 else sorted({-(-depth * quarter // 4) - 1 for quarter in (1, 2, 3, 4)})


def get_size_divisor(model: nn.Module) -> tuple[int, int]:
    """Height and width must be multiples of these pixels: the patch, or 1 where the model pads by itself."""
    embed = getattr(model, "patch_embed", None)
    if not isinstance(embed, PatchEmbed) or embed.dynamic_img_pad:
        return 1, 1
    height, width = embed.patch_size
    return int(height), int(width)


def require_input_size(model: nn.Module, height: int, width: int) -> None:
    """Refuse a size whose border timm would cut off in silence (``grid = size // patch``) or that is not the model's.

    Raises:
        UserError: not a multiple of the patch, or the model is made for another size.
    """
    patch = get_size_divisor(model)
    kind = type(model).__name__
    if height < 1 or width < 1 or height % patch[0] or width % patch[1]:
        near = [max(round(size / step), 1) * step for size, step in zip((height, width), patch, strict=True)]
        steps = f"{patch[0]}" if patch[0] == patch[1] else f"{patch[0]} (height) and {patch[1]} (width)"
        raise UserError(
            f"{kind} takes images whose height and width are multiples of {steps} px, not {height} x {width}; "
            f"the nearest is {near[0]} x {near[1]}, or give the card the argument dynamic_img_pad=True"
        )
    embed = getattr(model, "patch_embed", None)
    made = embed.img_size if isinstance(embed, PatchEmbed) and embed.strict_img_size else None
    if made is not None and tuple(made) != (height, width):
        raise UserError(
            f"this {kind} is made for {made[0]} x {made[1]} px and cannot change at run time; "
            f"create it with img_size=({height}, {width})"
        )


def extract_pyramid(model: nn.Module, images: Tensor, out_indices: Sequence[int] | None = None) -> list[Tensor]:
    """Feature maps at some depths, shallow to deep; none of them normalised.

    Args:
        model: a timm model.
        images: (N, channels, height, width), normalised; height and width may differ from each other.
        out_indices: block (plain ViT) or stage numbers from 0, rising; ``default_out_indices`` when not given.

    Returns:
        One (N, C, height / reduction, width / reduction) for each of ``out_indices``.

    Raises:
        UserError: depths that are not there, or a size the model cannot take.
    """
    depth = len(get_reductions(model))
    wanted = default_out_indices(model) if out_indices is None else list(out_indices)
    # timm gives block order and drops repeats, so an unsorted list would come back under the wrong names
    if not wanted or any(not 0 <= index < depth for index in wanted) or wanted != sorted(set(wanted)):
        raise UserError(
            f"out_indices {wanted} are not rising numbers from 0 to {depth - 1}, the depths this backbone has"
        )
    call: Any = model.forward_intermediates
    maps: list[Tensor] = _call_at_size(
        model, images, lambda: list(call(images, indices=wanted, output_fmt="NCHW", intermediates_only=True))
    )
    return maps


def count_prefix_tokens(model: nn.Module) -> int:
    """Tokens before the patches (class token, registers) in a timm model's sequence; 0 of a hierarchy."""
    return int(getattr(model, "num_prefix_tokens", 0) or 0)


def extract_tokens(model: nn.Module, images: Tensor) -> TokenFeatures:
    """The last tokens, for a tracker or an analysis.

    Of a plain ViT after the final norm; of a hierarchy the cells of its last stage, before the final norm (whose
    token order is the model's own in some, such as Hiera), with no prefix.

    Args:
        model: a timm model.
        images: (N, channels, height, width), normalised.

    Raises:
        UserError: a size the model cannot take.
    """
    reduction = get_reductions(model)[-1]
    if is_plain_backbone(model):
        forward: Any = model.forward_features
        values: Tensor = _call_at_size(model, images, lambda: forward(images))
        if values.ndim == 3:
            prefix = count_prefix_tokens(model)
            height, width = (-(-int(side) // reduction) for side in images.shape[-2:])
            if values.shape[1] != prefix + height * width:
                raise UserError(
                    f"{type(model).__name__} gives {values.shape[1]} tokens where {prefix} prefix and "
                    f"{height} x {width} patch tokens were expected; its num_prefix_tokens or feature_info is wrong"
                )
            return TokenFeatures(values[:, :prefix], values[:, prefix:], (height, width))
    last = extract_pyramid(model, images, [len(get_reductions(model)) - 1])[0]
    patches = last.flatten(2).transpose(1, 2)
    return TokenFeatures(patches[:, :0], patches, (int(last.shape[2]), int(last.shape[3])))


def extract_pooled(model: nn.Module, images: Tensor, pool: PoolingType = "avg") -> Tensor:
    """One vector an image, as a classifier on top sees it (``fc_norm`` applied where the model has one).

    Args:
        model: a timm model.
        images: (N, channels, height, width), normalised.
        pool: ``avg``, the mean of the patch tokens (of a hierarchy: its own pooling), or ``token``, the class token.

    Returns:
        (N, C).

    Raises:
        UserError: no class token, an unknown pool, or a size the model cannot take.
    """
    if pool not in ("avg", "token"):
        raise UserError(f"unknown pooling {pool!r}; choose avg or token")
    classes = count_prefix_tokens(model) - int(getattr(model, "num_reg_tokens", 0) or 0)
    if pool == "token" and classes < 1:
        raise UserError(f"{type(model).__name__} has no class token; pool with avg")
    if not is_plain_backbone(model):
        head: Any = model.forward_head
        forward: Any = model.forward_features
        return _call_at_size(model, images, lambda: _require_tensor(head(forward(images), pre_logits=True)))
    last = extract_tokens(model, images)
    vector = last.prefix[:, 0] if pool == "token" else last.patches.mean(1)
    norm: Any = getattr(model, "fc_norm", None)
    return vector if norm is None else _require_tensor(norm(vector))


def extract_pooled_layers(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The mean of the patch tokens (cells) after each block of a plain ViT, or each stage of a hierarchy.

    A plain ViT's final norm is applied at every depth, so that the last is ``extract_pooled`` without
    ``fc_norm``; stages have widths of their own and are taken as they are.

    Args:
        model: a timm model.
        images: (N, channels, height, width), normalised.

    Returns:
        One (N, C) a depth, shallow to deep.

    Raises:
        UserError: a size the model cannot take.
    """
    call: Any = model.forward_intermediates
    depths = list(range(len(get_reductions(model))))
    normed = {"norm": True} if is_plain_backbone(model) else {}
    maps: list[Tensor] = _call_at_size(
        model, images, lambda: list(call(images, indices=depths, output_fmt="NCHW", intermediates_only=True, **normed))
    )
    return [cells.mean((2, 3)) for cells in maps]


def _require_tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _call_at_size(model: nn.Module, images: Tensor, call: Callable[[], ResultT]) -> ResultT:
    """Call the model; where it stumbles over images it cannot take, say so in a sentence."""
    height, width = (int(side) for side in images.shape[-2:])
    require_input_size(model, height, width)
    try:
        return call()
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{type(model).__name__} fails on {height} x {width} images of {images.dtype}, {images.device} ({first}); "
            f"if it is made for another size, create it with img_size=({height}, {width})"
        ) from error
