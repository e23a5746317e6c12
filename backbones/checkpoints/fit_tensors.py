"""Fit a checkpoint's tensors to a model: give them timm's names, drop what is no part of the trunk, and resample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.checkpoints.formats import format_dropped
from backbones.checkpoints.layouts import convert_layout
from backbones.checkpoints.layouts.beit import adapt_beit_tensors
from backbones.checkpoints.layouts.conversion import drop_pretraining_tensors, rename_to_timm
from backbones.checkpoints.layouts.efficientnet import refuse_other_efficientnet
from backbones.checkpoints.layouts.first_convolution import adapt_input_channels
from backbones.checkpoints.layouts.head_tensors import refuse_distillation_token
from backbones.checkpoints.sizes.grids import find_stated_size
from backbones.checkpoints.sizes.position_tables import REL_POS_TABLE
from backbones.checkpoints.sizes.resize import resize_to_model
from backbones.checkpoints.stage_norm import replace_stage_norm
from backbones.checkpoints.trunk_prefix import restore_own_prefixes, strip_trunk_prefix
from backbones.distillation_head import HEAD_PARTS, TwoHeadMixin
from foundation.errors import CheckpointError

_COMPUTED_BUFFERS = (
    "relative_position_index",
    "attn_mask",
    "relative_coords_table",
    "attention_bias_idxs",
    "freqs_cos",
    "freqs_sin",
)
"""Buffers that a model computes when it is created; they are not part of the trunk's weights."""
_BATCH_COUNTER = "num_batches_tracked"
"""The only integer buffer that is counted in training and not computed; without it, batch norm counts from 0."""


class FittedTensors(NamedTuple):
    """Tensors that were renamed, dropped and resampled as a model needs them.

    Attributes:
        tensors: what is left of the file, under the model's names.
        unresized: the same before positions and patches were resampled.
        own: the tensors that the model needs from the file.
        file_names: the names that the tensors had in the file.
        resized, dropped, notes: as the load report has them.
    """

    tensors: dict[str, Tensor]
    unresized: dict[str, Tensor]
    own: dict[str, Tensor]
    file_names: tuple[str, ...]
    resized: list[str]
    dropped: list[str]
    notes: list[str]


def fit_tensors(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    source: str,
    arguments: Mapping[str, Any],
    card_size: tuple[int, int] | None = None,
    optional: tuple[str, ...] = (),
    with_head: bool = False,
) -> FittedTensors:
    """Rename, drop and resample tensors as a model needs them; the model is only looked at.

    Args:
        model, tensors, source, arguments, card_size, optional, with_head: as ``load_tensors`` has them.

    Raises:
        CheckpointError: a tensor is not floating-point or not finite, a table has another head count, or the size of a
            grid is unknown.
    """
    own = _list_own_tensors(model)
    resized: list[str] = []
    dropped: list[str] = []
    notes: list[str] = []
    # the order matters: names first, since every later step finds tensors by timm's names; sizes last, since a table
    # that blocks share must be copied to them before it is resized
    file_names = tuple(tensors)
    tensors = convert_layout(tensors, model, own, dropped, notes, source)
    tensors = restore_own_prefixes(tensors, own)
    tensors = strip_trunk_prefix(tensors, own, dropped, notes, source)
    refuse_other_efficientnet(tensors, model, source)
    tensors = rename_to_timm(tensors, own)
    refuse_distillation_token(tensors, own, source)
    if "pos_embed" not in optional:
        _refuse_tracker_only(tensors, own, source)
    tensors = replace_stage_norm(tensors, own, dropped, notes)
    tensors = drop_pretraining_tensors(tensors, own, dropped)
    tensors = _drop_computed_buffers(tensors, model, own, dropped)
    own = _leave_out_absent(own, tensors, optional, notes, may_start_norm=not with_head)
    if not with_head:  # of a whole model, every tensor has its place, and a second norm is no litter
        pools_with_norm = "fc_norm.weight" in model.state_dict()
        tensors = _drop_head_tensors(tensors, get_head_prefixes(model), own, dropped, pools_with_norm=pools_with_norm)
    _refuse_non_finite(tensors, own, source)
    _refuse_table_heads(tensors, own, source)
    tensors = adapt_beit_tensors(tensors, own, dropped, notes, has_plain_keys=_has_plain_keys(model))
    tensors = adapt_input_channels(tensors, model, own, resized)
    # what the file says of itself counts before what the card says
    image_size = find_stated_size(arguments) or card_size
    fitting = resize_to_model(tensors, model, own, resized, notes, image_size)
    return FittedTensors(fitting, tensors, own, file_names, resized, dropped, notes)


def _list_own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's tensors without the buffers that it computes itself."""
    buffers = {name for name, value in model.named_buffers() if not value.is_floating_point()}
    computed = {name for name in buffers if not name.endswith(_BATCH_COUNTER)}
    return {
        name: value
        for name, value in model.state_dict().items()
        if name not in computed and not name.endswith(_COMPUTED_BUFFERS)
    }


def _drop_computed_buffers(
    tensors: Mapping[str, Tensor], model: nn.Module, own: Mapping[str, Tensor], dropped: list[str]
) -> dict[str, Tensor]:
    """Drop the buffers that the model computes itself."""
    buffers = {name for name, _ in model.named_buffers()}
    kept = {}
    for name, value in tensors.items():
        if name not in own and (name in buffers or name.endswith(_COMPUTED_BUFFERS)):
            dropped.append(format_dropped(name, value, "computed by the model"))
        else:
            kept[name] = value
    return kept


def _leave_out_absent(
    own: dict[str, Tensor],
    tensors: Mapping[str, Tensor],
    optional: tuple[str, ...],
    notes: list[str],
    *,
    may_start_norm: bool,
) -> dict[str, Tensor]:
    """Return the model's tensors without those that the file may lack, and say so."""
    absent = {name for name in optional if name in own and name not in tensors}
    if absent:
        notes.append(f"{', '.join(name for name in optional if name in absent)}: not in the file and not needed here")
    fresh = {name for name in own if name.startswith("fc_norm.")}
    if may_start_norm and fresh and fresh.isdisjoint(tensors):
        notes.append("fc_norm, the norm after pooling, starts at 1 and 0: the file has none")
        absent |= fresh
    counters = {name for name in own if name.endswith(_BATCH_COUNTER) and name not in tensors}
    if counters:
        notes.append(f"the {len(counters)} batch counters start at 0: the file has none")
    return {name: value for name, value in own.items() if name not in absent | counters}


def _drop_head_tensors(
    tensors: Mapping[str, Tensor],
    head_prefixes: tuple[str, ...],
    model_state: Mapping[str, Tensor],
    dropped: list[str],
    *,
    pools_with_norm: bool,
) -> dict[str, Tensor]:
    """Drop the classifier, and a last norm in a place where the model has none but in the other place."""
    has_norm = any(name.startswith("norm.") and name in model_state for name in tensors)
    kept = {}
    for name, value in tensors.items():
        if name.startswith(head_prefixes) or (name.startswith("head.") and name not in model_state):
            dropped.append(format_dropped(name, value, "classifier or projector"))
        elif name.startswith("norm.") and name not in model_state and pools_with_norm:
            # timm's global_pool="avg" has fc_norm after the pooling instead of norm before it
            dropped.append(format_dropped(name, value, "final norm; the model norms its pooled features instead"))
        elif name.startswith("fc_norm.") and name not in model_state and has_norm:
            dropped.append(format_dropped(name, value, "norm after pooling; the model norms its tokens instead"))
        else:
            kept[name] = value
    return kept


def _has_plain_keys(model: nn.Module) -> bool:
    """Return whether attention takes the keys as they are: neither rotated by their positions, nor normed."""
    parts = list(model.modules())
    is_rotated = any(getattr(part, "rope", None) is not None for part in parts)
    return not is_rotated and all(isinstance(getattr(part, "k_norm", None), nn.Identity | None) for part in parts)


def get_head_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Return the name prefixes that belong to the classifier, as timm names it.

    Args:
        model: a timm model.
    """
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") or "head"
    # distilled DeiT has two classifiers
    names = [classifier] if isinstance(classifier, str) else list(classifier)
    if isinstance(model, TwoHeadMixin):
        names += HEAD_PARTS
    return tuple(f"{name}." for name in names)


def _refuse_non_finite(tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], source: str) -> None:
    """Refuse integer tensors where floating-point weights are expected, and NaN or infinity anywhere."""
    for name, value in tensors.items():
        # batch norm counts its batches in an integer, so integers are fine where the model has them too
        if not value.is_floating_point() and (name not in model_state or model_state[name].is_floating_point()):
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"the checkpoint {source} holds {name} as {kind}; save the weights as floating-point numbers"
            )
        if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
            raise CheckpointError(
                f"the checkpoint {source} holds NaN or infinity in {name} and cannot be used; "
                "fetch it again or choose another file"
            )


def _refuse_table_heads(tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], source: str) -> None:
    """Refuse relative-position tables with another number of columns: they have one column per head."""
    for name, value in tensors.items():
        if (
            name.endswith(REL_POS_TABLE)
            and name in model_state
            and value.dim() == 2
            and value.shape[1] != model_state[name].shape[1]
        ):
            raise CheckpointError(
                f"the checkpoint {source} has {value.shape[1]} attention heads according to {name}, but the backbone "
                f"has {model_state[name].shape[1]}; choose the backbone with {value.shape[1]} heads"
            )


def _refuse_tracker_only(tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], source: str) -> None:
    """Refuse a tracker's checkpoint that no longer has the backbone's own position embedding."""
    if "pos_embed" in model_state and "pos_embed" not in tensors and "pos_embed_x" in tensors:
        raise CheckpointError(
            f"the checkpoint {source} has position embeddings for a tracker's template and search region only "
            "(pos_embed_z, pos_embed_x), not the backbone's pos_embed; fetch the weights the tracker started from"
        )
