"""Resample position embeddings, patch embeddings and relative-position tables to the sizes of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt, prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import PatchEmbed, resample_abs_pos_embed, resample_abs_pos_embed_nhwc, resample_patch_embed
from timm.models.nest import blockify, deblockify
from torch import Tensor, nn

from backbones.checkpoints.formats import format_shape
from backbones.checkpoints.sizes.grids import choose_grid
from backbones.checkpoints.sizes.position_tables import BIAS_GRID, REL_POS_TABLE, SIDE_TABLES, resize_position_table
from foundation.errors import CheckpointError

POSITION_TABLES = (REL_POS_TABLE, BIAS_GRID, *SIDE_TABLES)
"""The last part of the names of tables of relative positions, whose size follows from a window or a grid."""

_FLAT_EMBEDDING = re.compile(r"(pos_embed_\d+|patch_pos)$")
"""Position embeddings of CrossViT (one per branch) and TNT, with a class-token row; plain ViTs have ``pos_embed``."""
_IMAGE_EMBEDDING = re.compile(r"pos_embed\d*$")
"""Position embeddings that are stored as an image: PiT and Visformer, channels first; VOLO and SAM, channels last."""
_BLOCK_EMBEDDING = re.compile(r"levels\.\d+\.pos_embed$")
"""Position embeddings of NesT: (1, blocks, tokens of a block, width), both square."""
_TOKEN_MIXERS = re.compile(r".*(mlp_tokens\.fc\d|linear_tokens|mlp_channels\.gate\.proj)\.(weight|bias)$")
"""Weights of MLP-Mixer, ResMLP and gMLP that have one row or column per token."""


def resize_to_model(
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    model_state: Mapping[str, Tensor],
    resized: list[str],
    notes: list[str],
    image_size: tuple[int, int] | None = None,
) -> dict[str, Tensor]:
    """Resample the tensors that depend on the input, patch or window size.

    Args:
        tensors: the tensors of a trunk, under timm's names.
        model: the timm model that they are loaded into.
        model_state: the model's state dict.
        resized: a line ``name OLD -> NEW`` is appended for each resampled tensor.
        notes: a sentence is appended if class-token rows were added or moved, or if a grid was inferred.
        image_size: height and width of the images that the weights were made for, if known.

    Returns:
        All tensors, resampled where needed.

    Raises:
        CheckpointError: the grid or window of the file is unknown, or the model has no class token for the file's
            class-token row.
    """
    result = dict(tensors)
    if "pos_embed" in result and "pos_embed" in model_state and result["pos_embed"].dim() == 3:
        _fit_pos_embed(result, model, model_state, notes, image_size)
    for name, value in result.items():
        if name not in model_state:
            continue  # unexpected; the load report says so
        own = model_state[name]
        if name.endswith("patch_embed.proj.weight") and _has_other_patch_size(value, own):
            # timm's resize from big_vision's FlexiViT: an image resized along with the patches keeps its features
            result[name] = resample_patch_embed(value.float(), list(own.shape[-2:]))
        elif name.endswith(POSITION_TABLES):
            module = model.get_submodule(name.rpartition(".")[0])
            result[name] = resize_position_table(name, value, own, module, notes, image_size)
        elif _FLAT_EMBEDDING.match(name) and value.dim() == own.dim() == 3 and value.shape[-1] == own.shape[-1]:
            if grid := _branch_grid_size(model, name):
                result[name] = resize_pos_embed(value, grid, own.shape[1] - prod(grid), notes, image_size)
        elif _IMAGE_EMBEDDING.match(name.rpartition(".")[2]) and value.dim() == own.dim() == 4:
            result[name] = _resize_image_embedding(name, value, own, model)
    for name, value in result.items():
        # positions can be resampled or moved without a change of shape, so tensors are compared by identity
        old = tensors.get(name)
        if old is not None and old is not value and name in model_state and name != "cls_token":
            resized.append(f"{name} {format_shape(old)} -> {format_shape(value)}")
    return result


def resize_pos_embed(
    embedding: Tensor,
    grid: tuple[int, int],
    num_prefix_tokens: int,
    notes: list[str] | None = None,
    image_size: tuple[int, int] | None = None,
    patch_size: tuple[int, int] | None = None,
) -> Tensor:
    """Resample an absolute position embedding to another grid with timm's ``resample_abs_pos_embed``.

    Args:
        embedding: shape (1, prefix + tokens, width).
        grid: rows and columns of the new grid.
        num_prefix_tokens: number of class and register rows, which stay unchanged.
        notes: a sentence is appended where the embedding's own grid had to be inferred.
        image_size: height and width of the images that the embedding was made for, if known; its own grid follows
            from it, else as ``grids.choose_grid`` says.
        patch_size: height and width of the patches that the embedding was made for, pixels, if known.

    Returns:
        Shape (1, prefix + rows * columns, width). The embedding itself if its grid is the new one.

    Raises:
        CheckpointError: the height and width of the old grid are unknown.
    """
    tokens = embedding.shape[1] - num_prefix_tokens
    table = embedding[0, num_prefix_tokens:]
    choice = choose_grid(table, grid, image_size, patch_size=patch_size) if tokens > 0 else None
    if choice is None:
        raise CheckpointError(
            f"the checkpoint's position embedding has {tokens} patch rows, which is not a square grid, and the "
            f"model's is {grid[0]}x{grid[1]}; create the model with the input size that the weights were made for"
        )
    if choice.reason and notes is not None:
        notes.append(f"the position embedding is {choice.reason}")
    if choice.size == grid:
        return embedding
    resampled: Tensor = resample_abs_pos_embed(
        embedding, list(grid), old_size=list(choice.size), num_prefix_tokens=num_prefix_tokens
    )
    return resampled


def explain_token_mixers(tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> str:
    """Say why weights with one row per token do not fit; "" if there are none of another size.

    Args:
        tensors: the tensors of the file, under timm's names.
        model_state: the model's state dict.
    """
    for name, value in tensors.items():
        if _TOKEN_MIXERS.match(name) and name in model_state and value.shape != model_state[name].shape:
            return (
                f"{name} mixes the tokens of the image with weights of their own ({format_shape(value)} in the file, "
                f"{format_shape(model_state[name])} in the model), so such weights fit no other input size: create "
                "the model at the size that they were made for"
            )
    return ""


def find_patch_grid(model: nn.Module) -> tuple[int, int] | None:
    """Return the rows and columns of the model's patch grid, or ``None`` if it has none."""
    # timm's Hiera keeps the grid in the model itself, under another name
    for owner, name in ((getattr(model, "patch_embed", None), "grid_size"), (model, "tokens_spatial_shape")):
        size: Any = getattr(owner, name, None)
        if size is not None and len(size) == 2:
            return int(size[0]), int(size[1])
    return None


def _fit_pos_embed(
    result: dict[str, Tensor],
    model: nn.Module,
    model_state: Mapping[str, Tensor],
    notes: list[str],
    image_size: tuple[int, int] | None,
) -> None:
    """Fit ``pos_embed`` in ``result`` to the model: first the class-token rows, then the grid.

    Raises:
        CheckpointError: the file has a class-token row and the model has no class token, or the grid is unknown.
    """
    grid = find_patch_grid(model)
    embedding, rows = result["pos_embed"], model_state["pos_embed"].shape[1]
    if grid is None or embedding.shape[-1] != model_state["pos_embed"].shape[-1]:
        return  # another width is another model; the load report says so
    prefix = rows - prod(grid)
    theirs = _count_prefix_rows(embedding.shape[1], prefix, grid)
    if theirs < prefix:
        # the file adds positions to patches only (timm's no_embed_class): adding 0 to the class token is the same
        embedding = torch.cat([embedding.new_zeros(1, prefix - theirs, embedding.shape[-1]), embedding], dim=1)
        notes.append("the position embedding has no class-token row; a row of zeros was added, which has no effect")
    elif theirs > prefix:
        # the model adds positions to patches only: the class token's row is a constant and moves into the token
        if theirs - prefix != 1 or "cls_token" not in result or "cls_token" not in model_state:
            raise CheckpointError(
                "the checkpoint's position embedding has a class-token row that the model cannot take; "
                "choose the backbone with the class token that the weights were made with"
            )
        result["cls_token"] = result["cls_token"].float() + embedding[:, :1].float()
        embedding = embedding[:, 1:]
        notes.append(
            "the class-token row of the position embedding was added to the class token, which has the same effect"
        )
    kernel = result.get("patch_embed.proj.weight")
    # behind a convolutional stem, the kernel is no patch of the image
    is_patch = kernel is not None and kernel.dim() == 4 and isinstance(getattr(model, "patch_embed", None), PatchEmbed)
    patch_size = (kernel.shape[2], kernel.shape[3]) if kernel is not None and is_patch else None
    result["pos_embed"] = resize_pos_embed(embedding, grid, prefix, notes, image_size, patch_size)


def _count_prefix_rows(rows: int, prefix: int, grid: tuple[int, int]) -> int:
    """Return how many of the file's rows are not patches.

    Args:
        rows: rows of the file's position embedding.
        prefix: prefix rows of the model.
        grid: the model's grid.

    Returns:
        The number that leaves the model's grid, else one that leaves a square grid; ``prefix`` if there is none.
    """
    usual = (prefix, 0, 1, 2)  # the model's own first; 2 are class and distillation token
    for extra in usual:
        if rows - extra == prod(grid):
            return extra
    for extra in usual:
        if rows > extra and isqrt(rows - extra) ** 2 == rows - extra:
            return extra
    return prefix


def _branch_grid_size(model: nn.Module, name: str) -> tuple[int, int] | None:
    """Return the patch grid of one of CrossViT's branches or of TNT, or ``None`` if the model has none."""
    embed: Any = getattr(model, "pixel_embed", None)
    if name != "patch_pos":
        branches: Any = getattr(model, "patch_embed", None)
        index = int(name.rpartition("_")[2])
        embed = branches[index] if isinstance(branches, nn.ModuleList) and index < len(branches) else None
    size: Any = getattr(embed, "grid_size", None)
    if size is None and hasattr(embed, "img_size") and hasattr(embed, "patch_size"):
        size = [side // patch for side, patch in zip(embed.img_size, embed.patch_size, strict=True)]
    return None if size is None else (int(size[0]), int(size[1]))


def _resize_image_embedding(name: str, value: Tensor, own: Tensor, model: nn.Module) -> Tensor:
    """Resample a position embedding that is stored as an image; as it is if the width is not the model's."""
    if value.shape == own.shape:
        return value
    if _BLOCK_EMBEDDING.match(name):
        if value.shape[-1] != own.shape[-1] or any(isqrt(size) ** 2 != size for size in value.shape[1:3]):
            return value
        side, grid = isqrt(own.shape[2]), isqrt(own.shape[1] * own.shape[2])
        image = deblockify(value, isqrt(value.shape[2])).permute(0, 3, 1, 2).float()
        image = F.interpolate(image, size=[grid, grid], mode="bicubic", align_corners=False)  # as timm's NesT has it
        return torch.as_tensor(blockify(image.permute(0, 2, 3, 1), side)).to(value.dtype)
    if own.shape[-1] == getattr(model, "num_features", None):  # channels last
        if value.shape[-1] != own.shape[-1]:
            return value
        return torch.as_tensor(resample_abs_pos_embed_nhwc(value, list(own.shape[1:3])))
    if value.shape[:2] != own.shape[:2]:
        return value
    size = list(own.shape[-2:])
    return F.interpolate(value.float(), size=size, mode="bicubic", antialias=True, align_corners=False).to(value.dtype)


def _has_other_patch_size(value: Tensor, own: Tensor) -> bool:
    """Return whether two patch embeddings, (width, channels, height, width), differ only in the patch size."""
    return value.dim() == own.dim() == 4 and value.shape[:2] == own.shape[:2] and value.shape != own.shape
