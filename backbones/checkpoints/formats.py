"""Recognise a checkpoint's format by its content, and take the trunk out of its wrappers.

Key names are those of the public code: MAE-Lite (``mae_lite_distill_d2_exp.py``, ``simmim_distill_exp.py``),
facebookresearch mae, moco-v3 and hiera, microsoft BEiT and SimMIM, mmsegmentation, OSTrack.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

_CONTAINER_KEYS = (
    "state_dict",
    "model",
    "net",
    "model_state",
    "model_state_dict",
    "module",
    "state_dict_ema",
    "teacher",
)
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
_BACKBONE_PREFIXES = ("base_encoder.", "backbone.", "model.", "encoder.", *_WRAPPER_PREFIXES)

_NON_BACKBONE_RULES = (
    (re.compile(r"tch_model\."), "the frozen teacher of a distillation"),
    (re.compile(r"(\w*_)?adapter\w*\."), "adapter of a distillation, used in pre-training only"),
    (re.compile(r"(ema_model|average)\."), "a running average kept beside the model"),
    (re.compile(r"momentum_encoder\."), "MoCo's momentum encoder"),
    (re.compile(r"(predictor|projector|momentum_projector)\."), "head of MoCo's"),
    (re.compile(r"extra_block\."), "block of the decoupled distillation that has queries and keys only"),
    (re.compile(r"box_head\."), "the tracker's box head"),
    (re.compile(r"(decode_head|auxiliary_head|neck|data_preprocessor)\."), "not of the backbone"),
)
"""What stands beside the trunk in a file; matched at the start of a name."""


class UnwrappedCheckpoint(NamedTuple):
    """A checkpoint's trunk: its family, its tensors, what was dropped (name, shape, reason), and notes."""

    family: str
    tensors: dict[str, Tensor]
    dropped: list[str]
    notes: list[str]


def find_tensors(content: object) -> tuple[dict[str, Tensor], str]:
    """The mapping of names to tensors in a file's content, and the key it stood under ("" for the top)."""
    if not isinstance(content, Mapping):
        return {}, ""
    for key in _CONTAINER_KEYS:
        if isinstance(inner := content.get(key), Mapping):
            tensors = {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors, key
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}, ""


def unwrap_checkpoint(tensors: Mapping[str, Tensor], container: str, content: object = None) -> UnwrappedCheckpoint:
    """Take the trunk out of its wrappers.

    Args:
        tensors: as they stand in the file.
        container: the key they stood under.
        content: the file's whole content, for what else it tells.

    Returns:
        The trunk under its authors' names. Names that were beside the trunk and are of no known kind keep
        their full name, so that the load report calls them unexpected.
    """
    family = detect_family(tensors, container, content)
    dropped: list[str] = []
    inside = _drop_non_backbone(dict(tensors), dropped)
    while prefix := _common_prefix(inside):
        outside = {name: value for name, value in inside.items() if not name.startswith(prefix)}
        stripped = {name.removeprefix(prefix): value for name, value in inside.items() if name.startswith(prefix)}
        clash = {f"(beside {prefix}) {name}": outside.pop(name) for name in list(outside) if name in stripped}
        inside = _drop_non_backbone({**stripped, **outside, **clash}, dropped)
    notes = []
    if isinstance(content, Mapping):
        notes += [f"{key} of the file was left aside" for key in ("state_dict_ema", "model_ema") if key in content]
    return UnwrappedCheckpoint(family, inside, dropped, notes)


def detect_family(tensors: Mapping[str, Tensor], container: str, content: object = None) -> str:
    """The family of a checkpoint, from the names of its tensors and the key they stood under."""
    names = " ".join(tensors)
    top = set(content) if isinstance(content, Mapping) else set()

    def has(pattern: str) -> bool:
        return re.search(rf"(?:^|[ .])(?:{pattern})", names) is not None

    swin = has(r"layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table")
    rules = (
        ("MoCo-v3", has(r"base_encoder\.")),
        ("OSTrack", container == "net" or has(r"box_head\.|pos_embed_[zx] ")),
        ("mmsegmentation", has(r"layers\.\d+\.(ffn\.|ln1\.)")),
        ("bench run", has(r"backbone\.") and container == "state_dict" and bool({"step", "bench"} & top)),
        ("mmsegmentation", has(r"backbone\.") and has(r"decode_head\.")),
        ("MAE-Lite SimMIM", swin and has(r"model\.encoder\.")),
        ("MAE-Lite", has(r"tch_model\.|attn_adapter\.") or (container == "model" and has(r"model\.blocks\."))),
        ("SimMIM", swin and has(r"encoder\.layers\.")),
        ("Swin", swin),
        ("Hiera", container == "model_state" or has(r"multi_scale_fusion_heads\.|encoder_norm\.|head\.projection\.")),
        ("MAE", has(r"decoder_blocks\.|decoder_embed\.")),
        ("BEiT", has(r"blocks\.\d+\.(gamma_1|attn\.q_bias|attn\.relative_position_bias_table)|rel_pos_bias\.")),
        ("DeiT", container == "model" and has(r"blocks\.\d+\.attn\.qkv")),
    )
    return next((family for family, holds in rules if holds), "timm" if has(r"patch_embed\.|stem\.") else "plain")


def _common_prefix(tensors: Mapping[str, Tensor]) -> str:
    """The wrapper that more than half of the names carry, or ""."""
    for prefix in _BACKBONE_PREFIXES:
        if 2 * sum(name.startswith(prefix) for name in tensors) > len(tensors):
            return prefix
    return ""


def _drop_non_backbone(tensors: dict[str, Tensor], dropped: list[str]) -> dict[str, Tensor]:
    kept = {}
    for name, value in tensors.items():
        bare = name
        while bare.startswith(_WRAPPER_PREFIXES):
            bare = bare.split(".", 1)[1]
        reason = next((why for pattern, why in _NON_BACKBONE_RULES if pattern.match(bare)), "")
        if reason:
            dropped.append(format_dropped(bare, value, reason))
        else:
            kept[name] = value
    return kept


def format_tensor(name: str, value: Tensor) -> str:
    """``name 192x3x16x16``, as load reports name a tensor."""
    return f"{name} {format_shape(value)}"


def format_shape(value: Tensor) -> str:
    """``192x3x16x16``; "scalar" for a tensor without dimensions."""
    return "x".join(map(str, value.shape)) or "scalar"


def format_dropped(name: str, value: Tensor, reason: str) -> str:
    """``name shape (reason)``, as load reports name a dropped tensor."""
    return f"{format_tensor(name, value)} ({reason})"
