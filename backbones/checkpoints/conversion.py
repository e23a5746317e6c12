"""Bring a checkpoint's names to timm's, and leave out by name what belongs to pre-training only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping

from torch import Tensor

from backbones.checkpoints.formats import format_dropped
from foundation.errors import CheckpointError

_DECODER_REASON = "decoder of the pre-training"
_DROP_RULES = (
    (re.compile(r"(decoder|decoder_(embed|pos_embed|blocks|norm|pred))(\.|$)"), _DECODER_REASON),
    (re.compile(r"mask_token$"), "mask token of the pre-training"),
    (re.compile(r"multi_scale_fusion_heads\."), _DECODER_REASON),
    (re.compile(r"lm_head\."), "token classifier of the pre-training"),
    (re.compile(r"head_dist\."), "classifier"),
    (re.compile(r"pos_embed_[zx]$"), "the tracker's resampled copy of pos_embed"),
    (re.compile(r"(template|search)_segment_pos_embed$|cls_pos_embed$"), "the tracker's own embedding"),
    (re.compile(r"(.*\.)?(relative_position_index|attn_mask|relative_coords_table)$"), "computed by the model"),
)
"""What a file may hold beside the trunk, under names that no model of ours has."""

_MMSEG_RENAMES = (
    (re.compile(r"^patch_embed\.projection\."), "patch_embed.proj."),
    (re.compile(r"^layers\.(\d+)\.ln([12])\."), r"blocks.\1.norm\2."),
    (re.compile(r"^layers\.(\d+)\.attn\.attn\.in_proj_"), r"blocks.\1.attn.qkv."),
    (re.compile(r"^layers\.(\d+)\.attn\.attn\.out_proj\."), r"blocks.\1.attn.proj."),
    (re.compile(r"^layers\.(\d+)\.ffn\.layers\.0\.0\."), r"blocks.\1.mlp.fc1."),
    (re.compile(r"^layers\.(\d+)\.ffn\.layers\.1\."), r"blocks.\1.mlp.fc2."),
    (re.compile(r"^layers\.(\d+)\.(attn|gamma_)"), r"blocks.\1.\2"),
    (re.compile(r"^ln1\."), "norm."),
)
_HIERA_RENAMES = (
    (re.compile(r"^(encoder_)?norm\."), "head.norm."),
    (re.compile(r"^head\.projection\."), "head.fc."),
    (re.compile(r"^pos_embed_abs$"), "pos_embed"),
)
_BLOCK_PARAMETER = re.compile(r"^((?:layers\.\d+\.)?blocks)\.(\d+)\.(.+)$")
_QK_ONLY_PARAMETER = re.compile(r"norm1\.|attn\.qkv\.|attn\.[qv]_bias$|attn\.relative_position_|attn_mask$")


def rename_to_timm(tensors: Mapping[str, Tensor], model_keys: Collection[str]) -> dict[str, Tensor]:
    """Rename mmsegmentation's, Meta-Hiera's and Microsoft-Swin's tensors to timm's names.

    Args:
        tensors: a trunk by its authors' names.
        model_keys: the names of the model's state; a name the model has is never touched.

    Raises:
        CheckpointError: two tensors would get one name.
    """
    renamed: dict[str, Tensor] = {}
    rules = list(_rename_rules(tensors, model_keys))
    for name, value in tensors.items():
        new = name
        for pattern, replacement in rules:
            new = pattern.sub(replacement, new)
        if new in renamed:
            raise CheckpointError(f"two tensors of the checkpoint mean {new} (one is {name}); it is not of one model")
        renamed[new] = value
    if (
        any(name.startswith("layers.0.downsample.") for name in tensors)
        and "layers.1.downsample.norm.weight" in model_keys
    ):
        # Microsoft's Swin merges patches at the end of a stage, timm at the start of the next.
        renamed = {re.sub(r"^layers\.(\d+)\.downsample", _next_stage, name): value for name, value in renamed.items()}
    return renamed


def _rename_rules(tensors: Mapping[str, Tensor], model_keys: Collection[str]) -> list[tuple[re.Pattern[str], str]]:
    rules: list[tuple[re.Pattern[str], str]] = []
    if any(re.match(r"layers\.\d+\.(ffn|ln1)\.", name) for name in tensors):
        rules += _MMSEG_RENAMES
    if "head.norm.weight" in model_keys and "norm.weight" not in model_keys:
        rules += _HIERA_RENAMES
    if (
        "head.fc.weight" in model_keys or "layers.0.blocks.0.attn.qkv.weight" in model_keys
    ):  # Microsoft's Swin: a plain head
        rules.append((re.compile(r"^head\.(weight|bias)$"), r"head.fc.\1"))
    return rules


def _next_stage(found: re.Match[str]) -> str:
    return f"layers.{int(found[1]) + 1}.downsample"


def drop_pretraining_tensors(
    tensors: Mapping[str, Tensor], model_keys: Collection[str], dropped: list[str]
) -> dict[str, Tensor]:
    """Leave out decoders, mask tokens, computed buffers and a last block that only has queries and keys.

    Args:
        tensors: a trunk by timm's names.
        model_keys: the names of the model's state; what the model has is never dropped.
        dropped: gets a line for each tensor left out, with its reason.
    """
    tails = _qk_only_blocks(tensors)
    kept = {}
    for name, value in tensors.items():
        reason = next((why for pattern, why in _DROP_RULES if pattern.match(name)), "")
        if not reason and name.startswith(tails):
            reason = "block of the decoupled distillation that has queries and keys only"
        if reason and name not in model_keys:
            dropped.append(format_dropped(name, value, reason))
        else:
            kept[name] = value
    return kept


def _qk_only_blocks(tensors: Collection[str]) -> tuple[str, ...]:
    """Prefixes of last blocks that consist of ``norm1`` and ``attn.qkv`` alone (D2-MAE's 13th)."""
    blocks: dict[tuple[str, int], set[str]] = defaultdict(set)
    for name in tensors:
        if found := _BLOCK_PARAMETER.match(name):
            blocks[found[1], int(found[2])].add(found[3])
    last: dict[str, int] = {}
    for stack, index in blocks:
        last[stack] = max(index, last.get(stack, 0))
    tails = []
    for stack, index in last.items():
        inside = blocks[stack, index]
        whole = {"norm1.weight", "norm1.bias", "attn.qkv.weight"} <= inside
        if index > 0 and whole and all(_QK_ONLY_PARAMETER.match(name) for name in inside):
            tails.append(f"{stack}.{index}.")
    return tuple(tails)
