"""Rename a checkpoint's tensors to timm's names, and drop the tensors that only pre-training needs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping

from torch import Tensor

from backbones.checkpoints.formats import format_dropped
from backbones.checkpoints.layouts.efficientnet import rename_efficientnet
from backbones.checkpoints.layouts.head_tensors import find_head_reason
from foundation.errors import CheckpointError

_DECODER_REASON = "decoder of the pre-training"
# name pattern -> reason for the load report; matched at the start of a name, the first match counts
_DROP_RULES = (
    (re.compile(r"(decoder|decoder_(embed|pos_embed|blocks|norm|pred))(\.|$)"), _DECODER_REASON),
    (re.compile(r"mask_token$"), "mask token of the pre-training"),
    (re.compile(r"multi_scale_fusion_heads\."), _DECODER_REASON),
    (re.compile(r"pos_embed_[zx]$"), "the tracker's resampled copy of pos_embed"),
    (re.compile(r"(template|search)_segment_pos_embed$|cls_pos_embed$"), "the tracker's own embedding"),
    (re.compile(r"(.*\.)?(relative_position_index|attn_mask|relative_coords_table)$"), "computed by the model"),
)
"""Tensors that a file may hold next to the trunk; a tensor is dropped only if the model has no such name."""

# mmsegmentation's VisionTransformer; all rules are applied to each name in this order, so the general one for the other
# attention and LayerScale tensors stands behind the specific ones
_MMSEG_RENAMES = (
    (re.compile(r"^patch_embed\.projection\."), "patch_embed.proj."),
    (re.compile(r"^layers\.(\d+)\.ln([12])\."), r"blocks.\1.norm\2."),
    (re.compile(r"^layers\.(\d+)\.attn\.attn\.in_proj_"), r"blocks.\1.attn.qkv."),
    (re.compile(r"^layers\.(\d+)\.attn\.attn\.out_proj\."), r"blocks.\1.attn.proj."),
    (re.compile(r"^layers\.(\d+)\.ffn\.layers\.0\.0\."), r"blocks.\1.mlp.fc1."),
    (re.compile(r"^layers\.(\d+)\.ffn\.layers\.1\."), r"blocks.\1.mlp.fc2."),
    # mmpretrain's LayerScale is a module inside the branch that it scales
    (re.compile(r"^layers\.(\d+)\.attn\.gamma1\.weight$"), r"blocks.\1.ls1.gamma"),
    (re.compile(r"^layers\.(\d+)\.ffn\.gamma2\.weight$"), r"blocks.\1.ls2.gamma"),
    (re.compile(r"^layers\.(\d+)\.(attn|gamma_)"), r"blocks.\1.\2"),
    (re.compile(r"^ln1\."), "norm."),
)
# Meta's Hiera: timm keeps the final norm and the classifier inside its head module
_HIERA_RENAMES = (
    (re.compile(r"^(encoder_)?norm\."), "head.norm."),
    (re.compile(r"^head\.projection\."), "head.fc."),
    (re.compile(r"^pos_embed_abs$"), "pos_embed"),
)
# a ViT's "blocks.11.norm1.weight" or a Swin's "layers.3.blocks.1.norm1.weight": stack of blocks, index, rest
_BLOCK_PARAMETER = re.compile(r"^((?:layers\.\d+\.)?blocks)\.(\d+)\.(.+)$")
_QK_ONLY_PARAMETER = re.compile(r"norm1\.|attn\.qkv\.|attn\.[qv]_bias$|attn\.relative_position_|attn_mask$")


def rename_to_timm(tensors: Mapping[str, Tensor], model_keys: Collection[str]) -> dict[str, Tensor]:
    """Rename the tensors of mmsegmentation, Meta's Hiera and Microsoft's Swin to timm's names.

    Args:
        tensors: the tensors of a trunk, under its authors' names.
        model_keys: the names in the model's state dict; they tell which renames apply.

    Returns:
        The same tensors under timm's names.

    Raises:
        CheckpointError: two tensors would get the same name.
    """
    tensors = rename_efficientnet(tensors, model_keys)
    renamed: dict[str, Tensor] = {}
    rules = list(_rename_rules(tensors, model_keys))
    for name, value in tensors.items():
        new = name
        for pattern, replacement in rules:
            new = pattern.sub(replacement, new)
        if new in renamed:
            raise CheckpointError(
                f"two tensors of the checkpoint would both be named {new} (one is {name}), so it holds parts of two "
                "models; save one model per file"
            )
        renamed[new] = value
    if (
        any(name.startswith("layers.0.downsample.") for name in tensors)
        and "layers.1.downsample.norm.weight" in model_keys
    ):
        # Microsoft's Swin merges patches at the end of a stage, timm at the start of the next: index i becomes i + 1.
        # Such a file has a downsample in layers.0, which a timm model never has.
        renamed = {re.sub(r"^layers\.(\d+)\.downsample", _next_stage, name): value for name, value in renamed.items()}
    return renamed


def _rename_rules(tensors: Mapping[str, Tensor], model_keys: Collection[str]) -> list[tuple[re.Pattern[str], str]]:
    """Choose the rename rules from the names that the file and the model have."""
    rules: list[tuple[re.Pattern[str], str]] = []
    if any(re.match(r"layers\.\d+\.(ffn|ln1)\.", name) for name in tensors):
        rules += _MMSEG_RENAMES
    if "head.norm.weight" in model_keys and "norm.weight" not in model_keys:
        rules += _HIERA_RENAMES
    # Microsoft's Swin has its classifier directly under "head", timm under "head.fc"
    if "head.fc.weight" in model_keys or "layers.0.blocks.0.attn.qkv.weight" in model_keys:
        rules.append((re.compile(r"^head\.(weight|bias)$"), r"head.fc.\1"))
    return rules


def _next_stage(found: re.Match[str]) -> str:
    """Return the name of the following stage's downsample layer."""
    return f"layers.{int(found[1]) + 1}.downsample"


def drop_pretraining_tensors(
    tensors: Mapping[str, Tensor], model_keys: Collection[str], dropped: list[str]
) -> dict[str, Tensor]:
    """Drop decoders, mask tokens, computed buffers, and a last block that only has queries and keys.

    Args:
        tensors: the tensors of a trunk, under timm's names.
        model_keys: the names in the model's state dict; a tensor that the model has is never dropped.
        dropped: a line is appended for each dropped tensor, with the reason.

    Returns:
        The remaining tensors.
    """
    tails = find_qk_only_blocks(tensors)
    kept = {}
    for name, value in tensors.items():
        reason = next((why for pattern, why in _DROP_RULES if pattern.match(name)), "")
        reason = reason or find_head_reason(name, model_keys)
        if not reason and name.startswith(tails):
            reason = "block of the decoupled distillation that has queries and keys only"
        if reason and name not in model_keys:
            dropped.append(format_dropped(name, value, reason))
        else:
            kept[name] = value
    return kept


def find_qk_only_blocks(tensors: Collection[str]) -> tuple[str, ...]:
    """Return the prefixes of last blocks that only have ``norm1`` and ``attn.qkv``.

    D2-MAE (arXiv 2404.12210) trains such a 13th block to match the teacher's attention; it has no output that the next
    layer could use.
    """
    blocks: dict[tuple[str, int], set[str]] = defaultdict(set)
    for name in tensors:
        if found := _BLOCK_PARAMETER.match(name):
            blocks[found[1], int(found[2])].add(found[3])
    # a Swin has one stack of blocks per stage, a plain ViT a single one
    last: dict[str, int] = {}
    for stack, index in blocks:
        last[stack] = max(index, last.get(stack, 0))
    # only the last block of a stack can be one: anywhere else, missing parts mean a damaged file
    tails = []
    for stack, index in last.items():
        inside = blocks[stack, index]
        has_qk = {"norm1.weight", "norm1.bias", "attn.qkv.weight"} <= inside
        if index > 0 and has_qk and all(_QK_ONLY_PARAMETER.match(name) for name in inside):
            tails.append(f"{stack}.{index}.")
    return tuple(tails)
