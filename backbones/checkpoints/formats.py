"""Detect a checkpoint's format from its content, and extract the trunk from its wrappers.

The key names are those of the public code: MAE-Lite (``mae_lite_distill_d2_exp.py``, ``simmim_distill_exp.py``),
facebookresearch mae, moco-v3 and hiera, microsoft BEiT and SimMIM, mmsegmentation, OSTrack.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

# added by DistributedDataParallel and by torch.compile
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
# modules that FSDP, activation checkpointing, torch.compile and Lightning put around any part of a model
_WRAPPER_NAMES = re.compile(
    r"(?:^|(?<=\.))(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_fpw_module|_orig_mod|_forward_module)\."
)
<<<<<<< HEAD
_BACKBONE_PREFIXES = ("base_encoder.", "backbone.", "model.", "encoder.", *_WRAPPER_PREFIXES)
# where our trackers and segmentation models keep the backbone, by the beginning of their heads' names
_OWN_TRUNKS = {"head.score.": "backbone.vit.", "decode_head.": "backbone.trunk."}
=======
BACKBONE_PREFIXES = ("base_encoder.", "backbone.", "model.", "encoder.", *_WRAPPER_PREFIXES)
"""What is removed from the names of a file before a model is at hand."""
>>>>>>> main

_AVERAGE_REASON = "a running average saved next to the model"
# name pattern -> reason for the load report
_NON_BACKBONE_RULES = (
    (re.compile(r"tch_model\."), "the frozen teacher of a distillation"),
    (re.compile(r"(\w*_)?adapter\w*\."), "adapter of a distillation, only used in pre-training"),
    (re.compile(r"(ema_model|average)\."), _AVERAGE_REASON),
    (re.compile(r"momentum_encoder\."), "MoCo's momentum encoder"),
    (re.compile(r"(predictor|projector|momentum_projector)\."), "projection head of MoCo"),
    (re.compile(r"extra_block\."), "block of the decoupled distillation that has queries and keys only"),
    (re.compile(r"(dino|ibot)_head\."), "projection head of DINO or iBOT"),
    (re.compile(r"((student|teacher|online)_)?(projection|prediction)_head\w*\."), "projection head of a pre-training"),
    (re.compile(r"(n_averaged|steps)$"), "counter of a running average"),
    (re.compile(r"ema_[^.]+$"), "backup of the weights by a running average (mmcv)"),
    (re.compile(r"(box_head|head\.(score|offset|size))\."), "the tracker's box head"),
    (re.compile(r"skipped$"), "the tracker's count of unreadable frames"),
    (
        re.compile(r"(backbone\.)?(template|search)_positions$"),
        "positions of the tracker's two crops; the backbone's pos_embed is the one before tracking",
    ),
    (re.compile(r"(decode_head|auxiliary_head|data_preprocessor)\."), "not part of the backbone"),
)
"""Modules that are saved next to the trunk; the patterns are matched at the start of a name."""


OWN_RUN = "bench run"
"""The family of the weights that our own runs write."""


class UnwrappedCheckpoint(NamedTuple):
    """The trunk of a checkpoint.

    Attributes:
        family: the detected format, for example "MAE-Lite".
        tensors: the trunk's tensors under its authors' names.
        dropped: one line per tensor that was left out: name, shape, reason.
        notes: sentences for the load report.
    """

    family: str
    tensors: dict[str, Tensor]
    dropped: list[str]
    notes: list[str]


def unwrap_checkpoint(tensors: Mapping[str, Tensor], container: str, content: object = None) -> UnwrappedCheckpoint:
    """Extract the trunk from its wrappers.

    Args:
        tensors: the tensors under the names in the file.
        container: the key under which they were found.
        content: the complete content of the file; its other keys help to detect the family.

    Returns:
        The trunk under its authors' names. Tensors outside the trunk that match no known kind keep their full name, so
        that the load report lists them as unexpected.
    """
    family = detect_family(tensors, container, content)
    dropped: list[str] = []
    inside = drop_non_backbone(strip_wrapper_names(tensors), dropped)
    # wrappers are nested ("module.model.blocks..."), so one layer is removed at a time
    heads = _OWN_TRUNKS if family == OWN_RUN else {}
    own = [prefix for head, prefix in heads.items() if any(name.startswith(head) for name in tensors)]
    prefixes = (*own, *_BACKBONE_PREFIXES)
    while prefix := _common_prefix(inside, prefixes):
        outside = {name: value for name, value in inside.items() if not name.startswith(prefix)}
        stripped = {name.removeprefix(prefix): value for name, value in inside.items() if name.startswith(prefix)}
        # a name may exist with and without the prefix; the trunk gets it, and the other must not vanish silently
        clash = {f"(outside {prefix}) {name}": outside.pop(name) for name in list(outside) if name in stripped}
        inside = drop_non_backbone({**stripped, **outside, **clash}, dropped)
    averages = sorted({line.split(".")[0] for line in dropped if line.endswith(f"({_AVERAGE_REASON})")})
    notes = [f"the running average under {name} is not used; --weights-key {name} takes it" for name in averages]
    return UnwrappedCheckpoint(family, inside, dropped, notes)


def detect_family(tensors: Mapping[str, Tensor], container: str, content: object = None) -> str:
    """Detect which project's code wrote a checkpoint.

    Args:
        tensors: the tensors under the names in the file.
        container: the key under which they were found.
        content: the complete content of the file.

    Returns:
        The name of the project or method; "timm" or "plain" if nothing more specific is found.
    """
    names = " ".join(tensors)  # one string, so that each pattern needs a single search over all names
    top = set(content) if isinstance(content, Mapping) else set()

    def has(pattern: str) -> bool:
        # at the start of a name, or behind a dot: wrapper prefixes are still in place
        return re.search(rf"(?:^|[ .])(?:{pattern})", names) is not None

    swin = has(r"layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table")
    # the first rule that holds decides, so the specific families stand before those whose names they share
    rules = (
        ("MoCo-v3", has(r"base_encoder\.")),
        ("OSTrack", container == "net" or has(r"box_head\.|pos_embed_[zx] ")),
        ("mmsegmentation", has(r"layers\.\d+\.(ffn\.|ln1\.)")),
        (OWN_RUN, has(r"backbone\.") and container == "state_dict" and bool({"step", "bench"} & top)),
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


def strip_wrapper_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the names of wrappers anywhere inside the names of the tensors.

    Args:
        tensors: the tensors under the names in the file.
    """
    bare: dict[str, Tensor] = {}
    for name, value in tensors.items():
        new = _WRAPPER_NAMES.sub("", name)
        # a file with a tensor inside and outside a wrapper is damaged; the full name makes it unexpected
        bare[name if new in bare else new] = value
    return bare


def _common_prefix(tensors: Mapping[str, Tensor], prefixes: Sequence[str]) -> str:
    """Return the wrapper prefix that more than half of the names have, or "".

    Not all names need it: a decoder or a teacher may be saved outside the wrapper.
    """
<<<<<<< HEAD
    for prefix in prefixes:
=======
    for prefix in BACKBONE_PREFIXES:
>>>>>>> main
        if 2 * sum(name.startswith(prefix) for name in tensors) > len(tensors):
            return prefix
    return ""


def drop_non_backbone(tensors: Mapping[str, Tensor], dropped: list[str]) -> dict[str, Tensor]:
    """Drop the modules that are not part of the trunk, with or without a wrapper prefix on their names.

    Args:
        tensors: the tensors by name.
        dropped: a line is appended for each dropped tensor, with the reason.

    Returns:
        The remaining tensors.
    """
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
    """Format a tensor for the load report: ``name 192x3x16x16``."""
    return f"{name} {format_shape(value)}"


def format_shape(value: Tensor) -> str:
    """Format a tensor's shape: ``192x3x16x16``, or "scalar" for a tensor without dimensions."""
    return "x".join(map(str, value.shape)) or "scalar"


def format_dropped(name: str, value: Tensor, reason: str) -> str:
    """Format a dropped tensor for the load report: ``name shape (reason)``."""
    return f"{format_tensor(name, value)} ({reason})"
