"""Check that a checkpoint has as many attention heads as the model.

The shapes of the weights do not depend on the head count, so a wrong count loads without an error: DeiT-Tiny, which has
3 heads, loads strictly into a model with 12 heads and falls from 79.6 to 43.1 % top-1. The check uses the card, the
arguments stored in the file, and finally the structure of the weights. It needs no images.

The test of the structure rests on a symmetry. Initialization and training do not depend on the order of the heads, nor
on the order of the channels within a head. So if a head count is the true one, permuting the channels within its heads,
and the heads among themselves, gives weights that are just as likely as the original. If the count is wrong, such
permutations destroy structure: the channels of one true head are similar to each other (in the norms of their q, k and
v rows and proj columns, and in the angles between these), and the permutations separate them. This is an exact
permutation test: however the model was trained, the probability of rejecting a correct count is the level of the test.
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
"""A z-score from here on rejects a head count. 1,690 randomly initialized models of nine shapes reached 4.6 at most."""
ACCEPT_Z = 4.5
"""A head count with a z-score below this agrees with the weights."""
HEAD_DIMS = (8, 12, 16, 24, 32, 46, 48, 64, 80, 96, 128)
"""The numbers of channels per head that are tried."""

# the first match counts; matched at the start of the name, since mae_vit_tiny (12 heads) contains vit_tiny (3 heads)
_HEADS_BY_MODEL_NAME = (
    (re.compile(r"deit_tiny|vit_tiny_patch16_224"), 3),
    (re.compile(r"mae_vit_(tiny|small|base)"), 12),
    (re.compile(r"mae_vit_(large|huge)"), 16),
    (re.compile(r"deit_small|vit_small_patch16_224"), 6),
    (re.compile(r"(deit|beit|vit)_base"), 12),
    (re.compile(r"(deit|beit|vit)_large"), 16),
)
"""Head counts of model names found in the arguments of checkpoints (DeiT, facebook MAE, MAE-Lite, BEiT, timm)."""

_HEAD_TABLES = ("relative_position_bias_table", "rel_pos.relative_position_bias_table", "attention_biases")
"""Tables of an attention layer that have one row or column per head: BEiT, Swin; MaxViT, CoAtNet; LeViT, TinyViT."""


class AttentionGroup(NamedTuple):
    """The attention layers of a model that have the same width and head count.

    Attributes:
        layer_names: names of the attention modules.
        width: channels over all heads.
        num_heads: heads of the model's layers, which may not be those of the file.
    """

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
    """Compare the model's head counts with those of the checkpoint.

    Args:
        model: the timm model.
        tensors: the tensors that are about to be loaded, under the model's names.
        arguments: the arguments of the training run, as stored in the file.
        source: the file, for messages.
        card_heads: the head count that the card states for these weights, if it states one.

    Returns:
        One sentence per group of layers for the load report: what decided, or that the file cannot decide.

    Raises:
        CheckpointError: the card, the file's arguments or its structure contradict the model; the message names both
            counts.
    """
    groups = group_attention_layers(model, tensors)
    # a single stated count can only be compared where all layers have the same count (not in Swin or Hiera)
    if len(groups) == 1 and card_heads is not None and card_heads != groups[0].num_heads:
        raise _head_count_error(source, groups[0].num_heads, card_heads, "by its card")
    if len(groups) == 1 and (stated := _stated_head_count(arguments)):
        count, where = stated
        if count != groups[0].num_heads:
            raise _head_count_error(source, groups[0].num_heads, count, f"by its own {where}")
        return [f"head count {count} agrees with the checkpoint's own {where}"]
    # nothing is stated: each group of layers is decided by its shapes or by its structure
    notes = []
    for group in groups:
        suffix = f" (width {group.width})" if len(groups) > 1 else ""
        if all(any(_is_informative(tensors.get(f"{name}.{t}")) for t in _HEAD_TABLES) for name in group.layer_names):
            notes.append(f"head count {group.num_heads}{suffix} is fixed by the shape of the relative-position tables")
            continue
        notes.append(_test_head_count(group, tensors, source) + suffix)
    return notes


def _is_informative(table: Tensor | None) -> bool:
    """Return whether a relative-position table, which has one row or column per head, comes from the file.

    A table of zeros may have been added by ``adapt_beit_tensors``, and its shape is then the model's.
    """
    return table is not None and bool(table.any())


def group_attention_layers(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[AttentionGroup]:
    """Group the model's attention layers whose ``qkv`` and ``proj`` weights are in ``tensors`` by width and heads."""
    groups: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        # timm's Hiera calls it ``heads``; all other classes call it ``num_heads``
        heads = getattr(module, "num_heads", None) or getattr(module, "heads", None)
        qkv, proj = tensors.get(f"{name}.qkv.weight"), tensors.get(f"{name}.proj.weight")
        if not isinstance(heads, int) or qkv is None or proj is None or not qkv.dim() == proj.dim() == 2:
            continue
        # Where each head has its q, k and v together (MaxViT, CoAtNet), the rows mean something else than the test of
        # the structure takes them for.
        if len(qkv) == 3 * proj.shape[1] and not getattr(module, "head_first", False):
            groups[proj.shape[1], heads].append(name)
    return [AttentionGroup(names, width, heads) for (width, heads), names in groups.items()]


def candidate_head_counts(width: int) -> list[int]:
    """Return the head counts that a width may have: those with a usual number of channels per head."""
    # heads of 8 or 12 channels are skipped for wide models: none has them, and the test is slow with many heads
    sizes = HEAD_DIMS[2:] if width > 256 else HEAD_DIMS
    return [width // size for size in sizes if width % size == 0 and width > size]


def _test_head_count(group: AttentionGroup, tensors: Mapping[str, Tensor], source: str) -> str:
    """Test the model's head count against the structure of a group's weights; see the module's docstring.

    Returns:
        A sentence for the load report.

    Raises:
        CheckpointError: the model's count is rejected and another count agrees with the weights.
    """
    undecided = f"head count cannot be decided from the file; the card's {group.num_heads} is assumed"
    layers = [
        (tensors[f"{name}.qkv.weight"].float(), tensors[f"{name}.proj.weight"].float()) for name in group.layer_names
    ]
    counts = [group.num_heads, *(count for count in candidate_head_counts(group.width) if count != group.num_heads)]
    # compute_head_z draws from a seeded generator, so the decision about a file is the same at every load
    own = compute_head_z(layers, group.num_heads, counts[1:])
    if len(counts) == 1 or ACCEPT_Z <= own < REJECT_Z:
        return undecided
    # The model's count is confirmed only if every other count is rejected, and rejected only if another one agrees.
    # Everything in between is left undecided: a wrong confirmation or rejection is worse than none.
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
    # With few heads to permute, a multiple of the true count can agree as well; a divisor of it never does. The list is
    # sorted, so the first is the true count.
    also = f", {' and '.join(map(str, fitting[1:]))} not excluded" if len(fitting) > 1 else ""
    why = f"by the structure of its weights (z {own:.0f} against {scores[fitting[0]]:.1f}{also})"
    raise _head_count_error(source, group.num_heads, fitting[0], why)


def _stated_head_count(arguments: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return the head count that the file's arguments state, and which argument states it; ``None`` if none does."""
    inner = arguments.get("model_kwargs")  # timm's training script overrides the named model's arguments with these
    if isinstance(inner, Mapping) and (stated := _stated_head_count(inner)):
        return stated
    for key in ("num_heads", "heads", "n_heads"):
        value = arguments.get(key)
        if isinstance(value, str) and value.isdecimal():  # the values of safetensors metadata are strings
            value = int(value)
        # bool is a subclass of int in Python, and True is not a count
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
        f"the checkpoint {source} has {file_heads} attention heads {why}, but the backbone has {model_heads}: "
        f"the shapes fit, but the features would be wrong; choose the backbone with {file_heads} heads"
    )
