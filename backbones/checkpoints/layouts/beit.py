"""Convert the BEiT-style parts of a checkpoint: q and v biases, LayerScale, relative-position tables.

Every step leaves the function that the network computes unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from backbones.checkpoints.formats import format_dropped

_BLOCK_PREFIX = re.compile(r"^(blocks\.\d+)\.")
_SHARED_TABLE = "rel_pos_bias.relative_position_bias_table"
_BLOCK_TABLE = "attn.relative_position_bias_table"
_LAYER_SCALES = (("gamma_1", "ls1.gamma", "attn.proj"), ("gamma_2", "ls2.gamma", "mlp.fc2"))


def adapt_beit_tensors(
    tensors: Mapping[str, Tensor],
    model_state: Mapping[str, Tensor],
    dropped: list[str],
    notes: list[str],
    *,
    has_plain_keys: bool,
) -> dict[str, Tensor]:
    """Convert biases, LayerScale and shared tables to the form that the model has.

    A tensor that cannot be converted exactly keeps its name, so that the load report lists it as unexpected.

    Args:
        tensors: the tensors of a trunk, under timm's names.
        model_state: the model's state dict.
        dropped: a line is appended for each tensor that is left out.
        notes: a sentence is appended for each kind of step that was taken.
        has_plain_keys: whether the model's keys are neither rotated by their positions nor normed. Only then has a bias
            of the keys no effect.

    Returns:
        The converted tensors.
    """
    result = dict(tensors)
    # from both sides: a part may exist only in the file (to be folded) or only in the model (to be added)
    blocks = sorted({found[1] for name in (*model_state, *tensors) if (found := _BLOCK_PREFIX.match(name))})
    done: dict[str, int] = {}
    for block in blocks:
        steps = [
            *_merge_qkv_bias(block, result, model_state),
            *_split_qkv_bias(block, result, model_state, dropped, has_plain_keys),
            *_fold_layer_scale(block, result, model_state),
        ]
        for what in steps:
            done[what] = done.get(what, 0) + 1
    notes += [f"{what} (in {count} places)" for what, count in done.items()]  # one line per kind, not per block
    _copy_shared_table(blocks, result, model_state, notes)
    _add_neutral_parameters(tensors, result, model_state, notes)
    return result


def _merge_qkv_bias(block: str, result: dict[str, Tensor], model_state: Mapping[str, Tensor]) -> list[str]:
    """Merge q and v bias into the one bias of a plain ViT's ``qkv`` layer."""
    q, v, full = (f"{block}.attn.{part}" for part in ("q_bias", "v_bias", "qkv.bias"))
    if not (q in result and v in result and full in model_state and full not in result) or q in model_state:
        return []
    bias_q, bias_v = result.pop(q), result.pop(v)
    # BEiT has no key bias, which is the same as a key bias of zero; the layer's rows are q, k, v
    result[full] = torch.cat([bias_q, torch.zeros_like(bias_q), bias_v])
    return ["q and v bias became one qkv bias with a key bias of 0"]


def _split_qkv_bias(
    block: str, result: dict[str, Tensor], model_state: Mapping[str, Tensor], dropped: list[str], has_plain_keys: bool
) -> list[str]:
    """Split a plain ViT's ``qkv`` bias into BEiT's q and v bias."""
    q, v, full = (f"{block}.attn.{part}" for part in ("q_bias", "v_bias", "qkv.bias"))
    if not (q in model_state and full in result and full not in model_state) or q in result or result[full].numel() % 3:
        return []
    query, key, value = result[full].chunk(3)
    # q . (k + b) = q . k + q . b, where q . b is the same for all keys of a query: softmax ignores a constant, so the
    # key bias can be dropped. It is not the same where a rotation differs from key to key; the bias is then unexpected.
    if not has_plain_keys and bool(key.any()):
        return []
    del result[full]
    result[q], result[v] = query, value
    dropped.append(format_dropped(f"{full} (key part)", key, "without effect on softmax"))
    return ["the qkv bias was split into q and v bias"]


def _fold_layer_scale(block: str, result: dict[str, Tensor], model_state: Mapping[str, Tensor]) -> list[str]:
    """Rename LayerScale to the model's name for it, or fold it into the layer before it if the model has none.

    LayerScale multiplies the output of a residual branch: gamma * (W x + b) = (gamma * W) x + gamma * b, so scaling the
    rows of the branch's last layer has the same effect.
    """
    done = []
    for gamma, timm_name, layer in _LAYER_SCALES:
        theirs = next((f"{block}.{name}" for name in (gamma, timm_name) if f"{block}.{name}" in result), None)
        ours = next((f"{block}.{name}" for name in (gamma, timm_name) if f"{block}.{name}" in model_state), None)
        weight, bias = f"{block}.{layer}.weight", f"{block}.{layer}.bias"
        if theirs is None or theirs == ours:
            continue
        if ours is not None:
            result[ours] = result.pop(theirs)
        elif weight in result and result[theirs].shape == result[weight].shape[:1]:
            scale = result.pop(theirs).double()  # float64, so that the product is rounded only once, to float32
            result[weight] = (result[weight].double() * scale[:, None]).float()
            if bias in result:
                result[bias] = (result[bias].double() * scale).float()
            done.append(f"LayerScale {gamma} was folded into {layer}, which has the same effect")
    return done


def _copy_shared_table(
    blocks: list[str], result: dict[str, Tensor], model_state: Mapping[str, Tensor], notes: list[str]
) -> None:
    """Give each block its own copy of a table that all blocks of the file share."""
    tables = [f"{block}.{_BLOCK_TABLE}" for block in blocks if f"{block}.{_BLOCK_TABLE}" in model_state]
    if (
        _SHARED_TABLE in result
        and _SHARED_TABLE not in model_state
        and tables
        and not any(name in result for name in tables)
    ):
        table = result.pop(_SHARED_TABLE)
        # clones, so that training one block's table does not change another's
        result.update({name: table.clone() for name in tables})
        notes.append("the relative-position table that all blocks shared was copied to each block")


def _add_neutral_parameters(
    tensors: Mapping[str, Tensor], result: dict[str, Tensor], model_state: Mapping[str, Tensor], notes: list[str]
) -> None:
    """Add tables of zeros and LayerScales of ones if the model has them and the file has none at all.

    This is how a variant with relative positions starts from plain pre-training: MAE-Lite adds the tables only for
    fine-tuning, filled with zeros. It is done only if both sides have an absolute position embedding. A file with
    neither embedding nor tables must have lost its tables, and then the load has to fail.
    """
    if "pos_embed" not in model_state or "pos_embed" not in tensors:
        return
    kinds = (
        (re.compile(r".*relative_position_bias_table$"), 0.0, "relative-position tables start at 0"),
        (re.compile(r".*(gamma_[12]|ls[12]\.gamma)$"), 1.0, "LayerScales start at 1"),
    )
    for pattern, value, what in kinds:
        names = [name for name in model_state if pattern.match(name)]
        # if the file has some of them, the others are missing and are reported as such
        if names and not any(pattern.match(name) for name in tensors):
            result.update({name: torch.full(tuple(model_state[name].shape), value) for name in names})
            notes.append(f"the {len(names)} {what}, which has no effect: the file's model has none")
