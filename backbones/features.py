"""Extract features from a backbone: pyramids, tokens and pooled features, at any input size that it accepts.

The functions take a timm model as ``create_backbone`` returns it and call timm's own methods. A plain ViT has feature
maps of one resolution; a hierarchical backbone (Swin, Hiera, a CNN) has stages of falling resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from timm.layers import HybridEmbed, PatchEmbed
from torch import Tensor, nn

from backbones.pooling import PoolingType
from backbones.refusals import PatchSizeError, PoolingError
from foundation.errors import UserError

ResultT = TypeVar("ResultT")

_DROP_RATE_ATTRIBUTES = ("drop_prob", "drop_path_rate", "drop_path_prob")
"""Attributes in which the layers of timm, and those made after them, keep their rate of stochastic depth."""


class TokenFeatures(NamedTuple):
    """The tokens of a backbone's last layer.

    Attributes:
        prefix: class and register tokens, shape (batch, prefix tokens, channels); there may be none.
        patches: patch tokens, row by row, shape (batch, rows * columns, channels).
        grid_size: rows and columns of the patch grid.
    """

    prefix: Tensor
    patches: Tensor
    grid_size: tuple[int, int]


def get_reductions(model: nn.Module) -> list[int]:
    """Return the reduction of each feature map: the width of one cell in pixels of the input.

    Args:
        model: a timm model.

    Returns:
        One number per block of a plain ViT, or per stage of a hierarchical backbone.

    Raises:
        UserError: the model has no ``feature_info``.
    """
    info: Any = getattr(model, "feature_info", None)
    if info is None or not hasattr(model, "forward_intermediates"):
        raise UserError(
            f"{type(model).__name__} gives no intermediate features; a backbone for dense tasks needs timm's "
            "feature_info and forward_intermediates"
        )
    # timm has two forms of feature_info: a list of dicts, and an object that returns one
    return [int(item["reduction"]) for item in (info if isinstance(info, list) else info.get_dicts())]


def is_plain_backbone(model: nn.Module) -> bool:
    """Return whether all feature maps have the same resolution, as in a plain ViT."""
    return len(set(get_reductions(model))) == 1


def default_out_indices(model: nn.Module) -> list[int]:
    """Return the blocks or stages whose features a dense head uses by default.

    For a plain ViT with 12 blocks these are 3, 5, 7 and 11, as in the ADE20K configurations of BEiT and MAE. With
    another number of blocks, it is the last block of each quarter. For a hierarchical backbone, it is the last four
    stages.

    Args:
        model: a timm model.

    Returns:
        Indices from 0, ascending; fewer than four if the model has fewer.
    """
    depth = len(get_reductions(model))
    if not is_plain_backbone(model):
        return list(range(max(depth - 4, 0), depth))
    # -(-a // b) is ceil(a / b); a set, because with fewer than four blocks some quarters end at the same block
    return [3, 5, 7, 11] if depth == 12 else sorted({-(-depth * quarter // 4) - 1 for quarter in (1, 2, 3, 4)})


def get_size_divisor(model: nn.Module) -> tuple[int, int]:
    """Return the numbers of pixels that height and width must be multiples of.

    This is the patch size, or 1 if the model pads by itself or has no patch embedding of timm's. Behind a
    convolutional stem it is the width of a patch in the image.
    """
    embed = getattr(model, "patch_embed", None)
    if isinstance(embed, HybridEmbed) and not embed.dynamic_img_pad:
        reduction = get_reductions(model)[-1]
        return reduction, reduction
    if not isinstance(embed, PatchEmbed) or embed.dynamic_img_pad:
        return 1, 1
    height, width = embed.patch_size
    return int(height), int(width)


def require_input_size(model: nn.Module, height: int, width: int) -> None:
    """Refuse an input size that the model cannot process completely.

    timm computes the grid as ``size // patch`` and would silently cut off the rest of the image.

    Args:
        model: a timm model.
        height: height of the images in pixels.
        width: width of the images in pixels.

    Raises:
        PatchSizeError: the size is not a multiple of the patch size.
        UserError: the model only accepts another size.
    """
    patch = get_size_divisor(model)
    kind = type(model).__name__
    if height < 1 or width < 1 or height % patch[0] or width % patch[1]:
        near = [max(round(size / step), 1) * step for size, step in zip((height, width), patch, strict=True)]
        steps = f"{patch[0]}" if patch[0] == patch[1] else f"{patch[0]} (height) and {patch[1]} (width)"
        raise PatchSizeError(
            f"{kind} accepts images whose height and width are multiples of {steps} px, not {height} x {width}; "
            f"the nearest is {near[0]} x {near[1]}, or give the card the argument dynamic_img_pad=True",
            patch,
        )
    # a model with strict_img_size has positions for one grid only; with dynamic_img_size they are resampled
    embed = getattr(model, "patch_embed", None)
    made = embed.img_size if isinstance(embed, PatchEmbed) and embed.strict_img_size else None
    if made is not None and tuple(made) != (height, width):
        raise UserError(
            f"this {kind} is made for {made[0]} x {made[1]} px and cannot change at run time; "
            f"create it with img_size=({height}, {width})"
        )


def extract_pyramid(model: nn.Module, images: Tensor, out_indices: Sequence[int] | None = None) -> list[Tensor]:
    """Extract feature maps after several blocks or stages, without the final norm.

    Args:
        model: a timm model.
        images: normalized images, shape (batch, channels, height, width); height and width may differ.
        out_indices: indices of blocks (plain ViT) or stages, from 0 and ascending; ``default_out_indices`` when not
            given.

    Returns:
        One feature map per index, shape (batch, channels, height / reduction, width / reduction).

    Raises:
        UserError: the model has no such index, or it does not accept the size.
    """
    depth = len(get_reductions(model))
    wanted = default_out_indices(model) if out_indices is None else list(out_indices)
    # timm returns the maps in block order and without duplicates, so an unsorted list would come back in another order
    if not wanted or any(not 0 <= index < depth for index in wanted) or wanted != sorted(set(wanted)):
        raise UserError(
            f"out_indices {wanted} are not valid; give ascending numbers from 0 to {depth - 1}, without duplicates"
        )
    call: Any = model.forward_intermediates
    maps: list[Tensor] = _call_at_size(
        model, images, lambda: list(call(images, indices=wanted, output_fmt="NCHW", intermediates_only=True))
    )
    return maps


def count_prefix_tokens(model: nn.Module) -> int:
    """Return the number of class and register tokens before the patch tokens; 0 for a hierarchical backbone."""
    return int(getattr(model, "num_prefix_tokens", 0) or 0)


def get_own_pooling(model: nn.Module) -> str | None:
    """Return the pooling in front of a model's classifier as timm names it; ``None`` if the model does not say it."""
    for part in (model, getattr(model, "head", None)):
        pool: Any = getattr(part, "global_pool", None)
        pool = pool if isinstance(pool, str) else getattr(pool, "pool_type", None)
        if isinstance(pool, str) and pool:
            return pool
    return None


def count_class_tokens(model: nn.Module) -> int:
    """Return the number of class tokens that ``extract_pooled`` can read with ``token``.

    Several hierarchical transformers have a class token that only their own pooling reads; they count as having one
    if that pooling is ``token``.
    """
    if hasattr(model, "forward_intermediates") and hasattr(model, "feature_info") and is_plain_backbone(model):
        # timm counts register tokens among the prefix tokens; what remains are class tokens
        return max(count_prefix_tokens(model) - int(getattr(model, "num_reg_tokens", 0) or 0), 0)
    return int(get_own_pooling(model) == "token")


def has_token_norm(model: nn.Module) -> bool:
    """Return whether the model norms its tokens (``norm``) before they are pooled, as plain ViTs do by default."""
    norm = getattr(model, "norm", None)
    return isinstance(norm, nn.Module) and not isinstance(norm, nn.Identity)


def has_drop_path(model: nn.Module) -> bool:
    """Return whether a layer of the model drops paths in training (stochastic depth)."""
    for part in model.modules():
        for name in _DROP_RATE_ATTRIBUTES:
            rate = getattr(part, name, None)
            if isinstance(rate, float | Tensor) and float(rate) > 0:
                return True
        if type(part).__name__ == "StochasticDepth" and getattr(part, "p", 0) > 0:  # torchvision's
            return True
    return False


def extract_tokens(model: nn.Module, images: Tensor) -> TokenFeatures:
    """Extract the tokens of the last layer, for a tracker or an analysis.

    For a plain ViT these are the tokens after the final norm. For a hierarchical backbone they are the cells of the
    last stage before the final norm, without prefix tokens. (After the norm, some models such as Hiera have their own
    order of tokens.)

    Args:
        model: a timm model.
        images: normalized images, shape (batch, channels, height, width).

    Returns:
        The prefix and patch tokens with the size of the patch grid.

    Raises:
        UserError: the model does not accept the size.
    """
    reduction = get_reductions(model)[-1]
    if is_plain_backbone(model):
        forward: Any = model.forward_features
        values: Tensor = _call_at_size(model, images, lambda: forward(images))
        if values.ndim == 3:  # a CNN of constant resolution returns (batch, channels, rows, columns)
            prefix = count_prefix_tokens(model)
            # rounded up, since a model with dynamic_img_pad pads the last row and column of patches
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
    """Extract one vector per image, as the model's classifier gets it, with ``fc_norm`` if the model has one.

    Args:
        model: a timm model.
        images: normalized images, shape (batch, channels, height, width).
        pool: ``avg`` for the mean of the patch tokens, or ``token`` for the class token; a hierarchical backbone
            pools by itself, as it was created.

    Returns:
        Shape (batch, channels).

    Raises:
        UserError: the model has no class token, the pooling is unknown, or the model does not accept the size.
    """
    if pool not in ("avg", "token"):
        raise UserError(f"unknown pooling {pool!r}; choose avg or token")
    if pool == "token" and count_class_tokens(model) < 1:
        raise PoolingError(f"{type(model).__name__} has no class token; pool with avg", "it has no class token")
    if not is_plain_backbone(model):
        head: Any = model.forward_head
        forward: Any = model.forward_features
        # pre_logits=True stops in front of the classification layer, after pooling and norm
        return _call_at_size(model, images, lambda: _require_tensor(head(forward(images), pre_logits=True)))
    last = extract_tokens(model, images)
    vector = last.prefix[:, 0] if pool == "token" else last.patches.mean(1)
    norm: Any = getattr(model, "fc_norm", None)
    return vector if norm is None else _require_tensor(norm(vector))


def extract_pooled_layers(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Extract the mean of the patch tokens (or cells) after each block of a plain ViT or each stage.

    For a plain ViT, the final norm is applied after every block, so that the last vector equals ``extract_pooled``
    without ``fc_norm``. Stages of a hierarchical backbone differ in their number of channels and are not normalized.

    Args:
        model: a timm model.
        images: normalized images, shape (batch, channels, height, width).

    Returns:
        One tensor per block or stage, from first to last, shape (batch, channels).

    Raises:
        UserError: the model does not accept the size.
    """
    call: Any = model.forward_intermediates
    depths = list(range(len(get_reductions(model))))
    normed = {"norm": True} if is_plain_backbone(model) else {}
    maps: list[Tensor] = _call_at_size(
        model, images, lambda: list(call(images, indices=depths, output_fmt="NCHW", intermediates_only=True, **normed))
    )
    return [cells.mean((2, 3)) for cells in maps]


def _require_tensor(value: Any) -> Tensor:
    """Narrow the type of what a timm method returns."""
    assert isinstance(value, Tensor)
    return value


def _call_at_size(model: nn.Module, images: Tensor, call: Callable[[], ResultT]) -> ResultT:
    """Check the images' size, then call the model.

    Raises:
        UserError: the size is refused, or the model fails on the images; the message has the first line of its error.
    """
    height, width = (int(side) for side in images.shape[-2:])
    require_input_size(model, height, width)
    try:
        return call()
    except torch.OutOfMemoryError:
        raise  # it is a RuntimeError too, but has nothing to do with the size; callers handle it
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{type(model).__name__} fails on {height} x {width} images of {images.dtype}, {images.device} ({first}); "
            f"if it is made for another size, create it with img_size=({height}, {width})"
        ) from error
