"""Does a checkpoint have as many attention heads as the model? Shapes cannot tell: its own words and structure can.

DeiT-Tiny (3 heads) loads strictly into 12 heads and falls from 79.6 to 43.1 % top-1. The probe needs no images.
A transformer is made and trained without regard to the order of its heads, nor (within a head) of its channels,
so under the true head count the channels of an attention layer may be permuted within heads, and heads among
themselves, with nothing to be noticed. A wrong count is noticed: channels of one true head are alike (in the norms
of their q, k, v rows and proj columns, and in the angles between those rows), and stay together. This is an exact
permutation test: a right count is refused with the probability of its level, whatever the training was.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from backbones.checkpoints.head_count_check import compute_head_z
from foundation.errors import CheckpointError

REJECT_Z = 6.0
"""z above which a head count is refused; 1,690 random-init models of nine shapes reached 4.6 at most."""
ACCEPT_Z = 4.5
"""z below which a head count is in accord with the weights."""
HEAD_DIMS = (8, 12, 16, 24, 32, 46, 48, 64, 80, 96, 128)
"""Channels a head that are tried."""

_HEADS_BY_MODEL_NAME = (
    (re.compile(r"deit_tiny|vit_tiny_patch16_224"), 3),
    (re.compile(r"mae_vit_(tiny|small|base)"), 12),
    (re.compile(r"mae_vit_(large|huge)"), 16),
    (re.compile(r"deit_small|vit_small_patch16_224"), 6),
    (re.compile(r"(deit|beit|vit)_base"), 12),
    (re.compile(r"(deit|beit|vit)_large"), 16),
)
"""Head counts behind model names that checkpoints' arguments give (DeiT, facebook MAE, MAE-Lite, BEiT, timm)."""


class AttentionGroup(NamedTuple):
    """The attention layers of a model that have one width and head count: their names, width, and heads."""

    layer_names: list[str]
    width: int
    num_heads: int


def check_head_count(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    arguments: Mapping[str, Any],
    source: str,
    card_heads: int | None = None,
) -> list[str]:
    """Compare the model's head counts with what the checkpoint tells.

    Args:
        model: the timm model.
        tensors: what is loaded into it, by its names.
        arguments: what the file says of the run that made it.
        source: the file, for the message.
        card_heads: what the card says of these weights, where it says it.

    Returns:
        Sentences for the load report: what decided, or that the file cannot decide.

    Raises:
        CheckpointError: the file's words or structure contradict the model; both counts are named.
    """
    groups = group_attention_layers(model, tensors)
    if len(groups) == 1 and card_heads is not None and card_heads != groups[0].num_heads:
        raise _head_count_error(source, groups[0].num_heads, card_heads, "by its card")
    if len(groups) == 1 and (said := _stated_head_count(arguments)):
        count, where = said
        if count != groups[0].num_heads:
            raise _head_count_error(source, groups[0].num_heads, count, f"by its own {where}")
        return [f"head count {count} agrees with the checkpoint's own {where}"]
    notes = []
    for group in groups:
        place = f" (width {group.width})" if len(groups) > 1 else ""
        if all(_is_informative(tensors.get(f"{name}.relative_position_bias_table")) for name in group.layer_names):
            notes.append(f"head count {group.num_heads}{place} is fixed by the shape of the relative-position tables")
            continue
        notes.append(_test_head_count(group, tensors, source) + place)
    return notes


def _is_informative(table: Tensor | None) -> bool:
    """Whether a table's columns are the file's word on heads; a table of zeros may be our own filling."""
    return table is not None and bool(table.any())


def group_attention_layers(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[AttentionGroup]:
    """The model's attention layers whose ``qkv`` and ``proj`` weights are in ``tensors``, by width and head count."""
    groups: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        heads = getattr(module, "num_heads", None) or getattr(module, "heads", None)
        qkv, proj = tensors.get(f"{name}.qkv.weight"), tensors.get(f"{name}.proj.weight")
        if isinstance(heads, int) and qkv is not None and proj is not None and len(qkv) == 3 * proj.shape[1]:
            groups[proj.shape[1], heads].append(name)
    return [AttentionGroup(names, width, heads) for (width, heads), names in groups.items()]


def candidate_head_counts(width: int) -> list[int]:
    """Head counts that a width may have: those that leave a usual number of channels a head."""
    sizes = (
        HEAD_DIMS[2:] if width > 256 else HEAD_DIMS
    )  # with very small heads the test is slow, and no wide model has them
    return [width // size for size in sizes if width % size == 0 and width > size]


def _test_head_count(group: AttentionGroup, tensors: Mapping[str, Tensor], source: str) -> str:
    undecided = f"head count cannot be decided from the file; the card's {group.num_heads} is assumed"
    layers = [
        (tensors[f"{name}.qkv.weight"].float(), tensors[f"{name}.proj.weight"].float()) for name in group.layer_names
    ]
    counts = [group.num_heads, *(count for count in candidate_head_counts(group.width) if count != group.num_heads)]
    own = compute_head_z(layers, group.num_heads, counts[1:])
    if len(counts) == 1 or ACCEPT_Z <= own < REJECT_Z:
        return undecided
    scores: dict[int, float] = {}
    for count in counts[1:]:
        scores[count] = compute_head_z(layers, count, [other for other in counts if other != count])
        if own < ACCEPT_Z and scores[count] < REJECT_Z:
            return undecided
    if own < ACCEPT_Z:
        nearest = min(scores.values())
        return f"head count {group.num_heads} agrees with the structure of the weights (next best at z {nearest:.0f})"
    fitting = sorted(count for count, score in scores.items() if score < ACCEPT_Z)
    if not fitting:
        return undecided
    # A multiple of the true count fits too where there are few heads to permute; a part of it never does.
    also = f", {' and '.join(map(str, fitting[1:]))} not excluded" if len(fitting) > 1 else ""
    why = f"by the structure of its weights (z {own:.0f} against {scores[fitting[0]]:.1f}{also})"
    raise _head_count_error(source, group.num_heads, fitting[0], why)


def _stated_head_count(arguments: Mapping[str, Any]) -> tuple[int, str] | None:
    inner = arguments.get("model_kwargs")  # timm's way to override what the model's name says
    if isinstance(inner, Mapping) and (said := _stated_head_count(inner)):
        return said
    for key in ("num_heads", "heads", "n_heads"):
        value = arguments.get(key)
        if isinstance(value, str) and value.isdecimal():  # safetensors metadata is text
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value, f"argument {key}={value}"
    for key in ("model", "arch", "encoder_arch"):
        value = arguments.get(key)
        if isinstance(value, str):
            for pattern, count in _HEADS_BY_MODEL_NAME:
                if pattern.match(value):
                    return count, f"argument {key}={value[:60]}"
    return None


def _head_count_error(source: str, model_heads: int, file_heads: int, why: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint {source} has {file_heads} attention heads {why}, and the backbone has {model_heads}: "
        f"the shapes fit and the features would be wrong; choose the backbone with {file_heads} heads, "
        "or accept it with --allow-partial"
    )
