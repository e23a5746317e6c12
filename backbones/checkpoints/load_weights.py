"""Load a checkpoint's tensors into a model and report what happened to each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from backbones.checkpoints.attention_heads import check_head_count
from backbones.checkpoints.beit import adapt_beit_tensors
from backbones.checkpoints.conversion import drop_pretraining_tensors, rename_to_timm
from backbones.checkpoints.formats import format_dropped, format_shape, format_tensor
from backbones.checkpoints.read_checkpoint import WeightFile
from backbones.checkpoints.resize import REL_POS_TABLE, resize_to_model
from backbones.checkpoints.stage_norm import replace_stage_norm
from foundation.errors import CheckpointError

_COMPUTED_BUFFERS = ("relative_position_index", "attn_mask", "relative_coords_table")
"""Buffers that a model computes when it is created; they are not part of the trunk's weights."""


@dataclass(frozen=True)
class LoadReport:
    """What happened to a checkpoint's tensors. The record of a run stores it.

    Attributes:
        matched: number of tensors that were loaded, resized ones included.
        resized: tensors that were resampled to fit, with both shapes.
        missing: tensors of the model's trunk that the file lacks or has in another shape.
        unexpected: tensors of the file that the model does not have.
        dropped: tensors that were left out on purpose, with the reason (a classifier, a decoder, a teacher).
        matched_fraction: fraction of the trunk's elements that were loaded, 0 to 1.
        notes: sentences about anything else that a reader should know.
    """

    matched: int
    resized: list[str]
    missing: list[str]
    unexpected: list[str]
    dropped: list[str]
    matched_fraction: float
    notes: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether the complete trunk was loaded and no tensor of the file is left over."""
        return not self.missing and not self.unexpected

    def format_summary(self) -> str:
        """Return one line with the loaded fraction in percent and the counts."""
        text = f"{100 * self.matched_fraction:.1f} % of the trunk loaded ({self.matched} tensors"
        for label in ("resized", "missing", "unexpected", "dropped"):
            if names := getattr(self, label):
                text += f", {len(names)} {label}"
        return text + ")"


def load_weight_file(
    model: nn.Module, file: WeightFile, *, allow_partial: bool, card_heads: int | None = None
) -> LoadReport:
    """Load a weight file into a model, in place.

    Args:
        model: a timm model.
        file: the file, as ``read_weights`` returns it.
        allow_partial: accept an incomplete load; see ``load_tensors``.
        card_heads: the head count that the card states for these weights, if it states one.

    Returns:
        The report, including what was dropped when the file was read.

    Raises:
        CheckpointError: see ``load_tensors``.
    """
    report = load_tensors(
        model,
        file.tensors,
        allow_partial=allow_partial,
        source=str(file.path),
        arguments=file.arguments,
        card_heads=card_heads,
    )
    return replace(report, dropped=[*file.dropped, *report.dropped], notes=[*file.notes, *report.notes])


def load_tensors(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    allow_partial: bool,
    source: str,
    arguments: Mapping[str, Any] | None = None,
    card_heads: int | None = None,
) -> LoadReport:
    """Load tensors into a model, in place.

    The trunk is everything except the classifier and, if the model pools patch tokens, the ``fc_norm`` of its head (the
    checkpoint's final ``norm`` is then dropped).

    Args:
        model: a timm model.
        tensors: the tensors by name, as ``backbones.checkpoints.read_checkpoint`` returns them.
        allow_partial: accept a trunk that is only partly loaded, unexpected tensors, and a contradicting head count.
        source: the file, for messages.
        arguments: the arguments of the training run, as stored in the file.
        card_heads: the head count that the card states for these weights, if it states one.

    Returns:
        The report.

    Raises:
        CheckpointError: trunk incomplete, tensors left over or another head count (unless ``allow_partial``); or
            nothing fits, or a tensor is not floating-point or not finite. The model is then left unchanged.
    """
    own = {name: value for name, value in model.state_dict().items() if not name.endswith(_COMPUTED_BUFFERS)}
    resized: list[str] = []
    dropped: list[str] = []
    notes: list[str] = []
    # the order matters: names first, since every later step finds tensors by timm's names; sizes last, since a table
    # that blocks share must be copied to them before it is resized
    tensors = rename_to_timm(tensors, own)
    _refuse_tracker_only(tensors, own, source)
    tensors = replace_stage_norm(tensors, own, dropped, notes)
    tensors = drop_pretraining_tensors(tensors, own, dropped)
    tensors = _drop_head_tensors(tensors, _head_prefixes(model), own, dropped)
    _refuse_non_finite(tensors, own, source)
    _refuse_table_heads(tensors, own, source)
    tensors = adapt_beit_tensors(tensors, own, dropped, notes)
    tensors = resize_to_model(tensors, model, own, resized, notes)
    report, accepted = _match_tensors(
        tensors, own, _head_prefixes(model), LoadReport(0, resized, [], [], dropped, 0, notes)
    )
    # with nothing accepted, even --allow-partial would mean a random model under the checkpoint's name
    if not accepted or (not report.is_complete and not allow_partial):
        raise CheckpointError(_describe_mismatch(report, source, own, tensors))
    try:
        notes += check_head_count(model, accepted, arguments or {}, source, card_heads)
    except CheckpointError as error:
        if not allow_partial:
            raise
        notes.append(f"accepted with --allow-partial: {error}")
    # strict=False because heads and buffers are absent on purpose; _match_tensors has checked all the rest
    model.load_state_dict(accepted, strict=False)
    return report


def _match_tensors(
    tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], head_prefixes: tuple[str, ...], report: LoadReport
) -> tuple[LoadReport, dict[str, Tensor]]:
    """Match names and shapes against the model's trunk; return the completed report and the tensors to load."""
    trunk = {name: value for name, value in model_state.items() if not name.startswith(head_prefixes)}
    accepted: dict[str, Tensor] = {}
    unexpected, missing = [], []
    for name, value in tensors.items():
        if name not in trunk:
            unexpected.append(format_tensor(name, value))
        elif value.shape == trunk[name].shape:
            accepted[name] = value
    for name, value in trunk.items():
        if name not in accepted:
            there = f", the file has {format_shape(tensors[name])}" if name in tensors else ""
            missing.append(f"{format_tensor(name, value)}{there}")
    total = sum(value.numel() for value in trunk.values())
    # by elements, not by tensors: many small biases must not outweigh one missing matrix
    fraction = sum(value.numel() for value in accepted.values()) / total
    report = replace(report, matched=len(accepted), missing=missing, unexpected=unexpected, matched_fraction=fraction)
    return report, accepted


def _drop_head_tensors(
    tensors: Mapping[str, Tensor], head_prefixes: tuple[str, ...], model_state: Mapping[str, Tensor], dropped: list[str]
) -> dict[str, Tensor]:
    """Drop the classifier, and a final norm that the model does not have."""
    kept = {}
    for name, value in tensors.items():
        if name.startswith(head_prefixes) or (name.startswith("head.") and name not in model_state):
            dropped.append(format_dropped(name, value, "classifier or projector"))
        elif name.startswith("norm.") and name not in model_state:
            # timm's global_pool="avg" has fc_norm after the pooling instead of norm before it
            dropped.append(format_dropped(name, value, "final norm; the model norms its pooled features instead"))
        else:
            kept[name] = value
    return kept


def _head_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Return the name prefixes that belong to the head: the classifier that timm names, and ``fc_norm``."""
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") or "head"
    # distilled DeiT has two classifiers
    names = [classifier] if isinstance(classifier, str) else list(classifier)
    return tuple(f"{name}." for name in (*names, "fc_norm"))


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


def _describe_mismatch(
    report: LoadReport, source: str, model_state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> str:
    """Describe in one sentence why a checkpoint does not fit, with the first three names of each kind."""
    text = f"the checkpoint {source} does not fit the backbone: {report.format_summary()}"
    for label, names in (("missing", report.missing), ("unexpected", report.unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text += f"; {label}: {', '.join(name[:120] for name in names[:3])}{more}"
    # a frequent case with a simple remedy: fine-tuned weights that pool patch tokens have fc_norm instead of norm
    if {name for name in model_state if name.startswith("norm.")} and not any(
        name.startswith("norm.") for name in tensors
    ):
        text += "; it has no final norm, like weights fine-tuned on pooled patch tokens: create the model with fc_norm"
    return text + "; choose the backbone it was made for, or accept a partly random trunk with --allow-partial"
