"""BEiT-style parts of a checkpoint: q/v biases, LayerScale, relative-position tables; every step here is exact."""

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
    tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], dropped: list[str], notes: list[str]
) -> dict[str, Tensor]:
    """Bring biases, LayerScale and shared tables to the form the model has them in.

    Each step leaves the function that the file describes as it is; what cannot be brought over exactly stays
    in place under its name, and the load report calls it unexpected.

    Args:
        tensors: a trunk by timm's names.
        model_state: the model's state.
        dropped: gets a line for each tensor that went nowhere.
        notes: gets a sentence for each step taken.
    """
    result = dict(tensors)
    blocks = sorted({found[1] for name in (*model_state, *tensors) if (found := _BLOCK_PREFIX.match(name))})
    done: dict[str, int] = {}
    for block in blocks:
        for step in (_merge_qkv_bias, _split_qkv_bias, _fold_layer_scale):
            for what in step(block, result, model_state, dropped):
                done[what] = done.get(what, 0) + 1
    notes += [f"{what} (in {count} places)" for what, count in done.items()]
    _copy_shared_table(blocks, result, model_state, notes)
    _add_neutral_parameters(tensors, result, model_state, notes)
    return result


def _merge_qkv_bias(
    block: str, result: dict[str, Tensor], model_state: Mapping[str, Tensor], _: list[str]
) -> list[str]:
    q, v, full = (f"{block}.attn.{part}" for part in ("q_bias", "v_bias", "qkv.bias"))
    if not (q in result and v in result and full in model_state and full not in result) or q in model_state:
        return []
    bias_q, bias_v = result.pop(q), result.pop(v)
    result[full] = torch.cat([bias_q, torch.zeros_like(bias_q), bias_v])
    return ["q and v bias became one qkv bias with a key bias of 0"]


def _split_qkv_bias(
    block: str, result: dict[str, Tensor], model_state: Mapping[str, Tensor], dropped: list[str]
) -> list[str]:
    q, v, full = (f"{block}.attn.{part}" for part in ("q_bias", "v_bias", "qkv.bias"))
    if not (q in model_state and full in result and full not in model_state) or q in result or result[full].numel() % 3:
        return []
    result[q], key, result[v] = result.pop(full).chunk(3)
    # A key bias adds the same number to all logits of a query, which softmax does not see.
    dropped.append(format_dropped(f"{full} (key part)", key, "without effect on softmax"))
    return ["the qkv bias was split into q and v bias"]


def _fold_layer_scale(
    block: str, result: dict[str, Tensor], model_state: Mapping[str, Tensor], _: list[str]
) -> list[str]:
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
            scale = result.pop(theirs).double()  # in double, so that folding costs one rounding only
            result[weight] = (result[weight].double() * scale[:, None]).float()
            if bias in result:
                result[bias] = (result[bias].double() * scale).float()
            done.append(f"LayerScale {gamma} was folded into {layer}, which has the same effect")
    return done


def _copy_shared_table(
    blocks: list[str], result: dict[str, Tensor], model_state: Mapping[str, Tensor], notes: list[str]
) -> None:
    places = [f"{block}.{_BLOCK_TABLE}" for block in blocks if f"{block}.{_BLOCK_TABLE}" in model_state]
    if (
        _SHARED_TABLE in result
        and _SHARED_TABLE not in model_state
        and places
        and not any(name in result for name in places)
    ):
        table = result.pop(_SHARED_TABLE)
        result.update({name: table.clone() for name in places})
        notes.append("the relative-position table that all blocks shared was given to each of them")


def _add_neutral_parameters(
    tensors: Mapping[str, Tensor], result: dict[str, Tensor], model_state: Mapping[str, Tensor], notes: list[str]
) -> None:
    """Tables of 0 and LayerScales of 1 where the model has them and the file, as a whole, has none.

    That is how a relative-position variant starts from plain pre-training (MAE-Lite adds the tables in fine-tuning
    only, set to zero). Only beside an absolute embedding: without one, a file without tables has lost them.
    """
    if "pos_embed" not in model_state or "pos_embed" not in tensors:
        return
    kinds = (
        (re.compile(r".*relative_position_bias_table$"), 0.0, "relative-position tables start at 0"),
        (re.compile(r".*(gamma_[12]|ls[12]\.gamma)$"), 1.0, "LayerScales start at 1"),
    )
    for pattern, value, what in kinds:
        places = [name for name in model_state if pattern.match(name)]
        if places and not any(pattern.match(name) for name in tensors):
            result.update({name: torch.full(tuple(model_state[name].shape), value) for name in places})
            notes.append(f"the {len(places)} {what}, without effect: the file's model has none")
