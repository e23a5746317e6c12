"""Put a checkpoint's tensors into a model and account for every one of them."""

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
from foundation.errors import CheckpointError

_COMPUTED_BUFFERS = ("relative_position_index", "attn_mask", "relative_coords_table")
"""Buffers that a model computes when it is made: never part of the trunk's weights."""


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's tensors.

    Attributes:
        matched: tensors that went in (resized ones too).
        resized: names, with both shapes, that were resampled to fit.
        missing: names of the model's trunk that the file lacks or has in another shape.
        unexpected: names of the file that the model has no place for.
        dropped: names left out on purpose, with the reason (a classifier, a decoder, a teacher).
        matched_fraction: elements of the trunk that were loaded, 0 to 1.
        notes: whatever else a reader should know.
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
        """Whether the whole trunk was loaded and the file holds nothing more."""
        return not self.missing and not self.unexpected

    def format_summary(self) -> str:
        """One line: the share and the counts."""
        text = f"{100 * self.matched_fraction:.1f} % of the trunk loaded ({self.matched} tensors"
        for label in ("resized", "missing", "unexpected", "dropped"):
            if names := getattr(self, label):
                text += f", {len(names)} {label}"
        return text + ")"


def load_weight_file(
    model: nn.Module, file: WeightFile, *, allow_partial: bool, card_heads: int | None = None
) -> LoadReport:
    """Load a weight file as read into ``model`` (in place) and report; see ``load_tensors``."""
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
    """Load ``tensors`` into ``model`` (in place) and report.

    The trunk is everything but the classifier and, where the model pools patch tokens, the ``fc_norm`` that
    belongs to its head (the checkpoint's own final ``norm`` is then dropped).

    Args:
        model: a timm model.
        tensors: by name, as ``backbones.checkpoints.read_checkpoint`` gives them.
        allow_partial: accept a trunk that is loaded in part, tensors that have no place, and a contradiction
            of head counts; the report then says so.
        source: the file, for messages.
        arguments: what the file says of the run that made it.
        card_heads: how many attention heads the card says these weights have, where it says it.

    Raises:
        CheckpointError: the trunk is not loaded whole, or tensors are left over, or the head count is another
            (unless ``allow_partial``); nothing of it is loaded; a tensor is not of floating point, or holds NaN
            or infinity. The model is then left as it was.
    """
    own = {name: value for name, value in model.state_dict().items() if not name.endswith(_COMPUTED_BUFFERS)}
    resized: list[str] = []
    dropped: list[str] = []
    notes: list[str] = []
    tensors = rename_to_timm(tensors, own)
    _refuse_tracker_only(tensors, own, source)
    tensors = drop_pretraining_tensors(tensors, own, dropped)
    tensors = _drop_head_tensors(tensors, _head_prefixes(model), own, dropped)
    _refuse_non_finite(tensors, own, source)
    _refuse_table_heads(tensors, own, source)
    tensors = adapt_beit_tensors(tensors, own, dropped, notes)
    tensors = resize_to_model(tensors, model, own, resized, notes)
    report, accepted = _match_tensors(
        tensors, own, _head_prefixes(model), LoadReport(0, resized, [], [], dropped, 0, notes)
    )
    if not accepted or (not report.is_complete and not allow_partial):
        raise CheckpointError(_describe_mismatch(report, source, own, tensors))
    try:
        notes += check_head_count(model, accepted, arguments or {}, source, card_heads)
    except CheckpointError as error:
        if not allow_partial:
            raise
        notes.append(f"accepted with --allow-partial: {error}")
    model.load_state_dict(accepted, strict=False)  # strict by the accounting above
    return report


def _match_tensors(
    tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], head_prefixes: tuple[str, ...], report: LoadReport
) -> tuple[LoadReport, dict[str, Tensor]]:
    """Match names and shapes against the model's trunk."""
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
    fraction = sum(value.numel() for value in accepted.values()) / total
    report = replace(report, matched=len(accepted), missing=missing, unexpected=unexpected, matched_fraction=fraction)
    return report, accepted


def _drop_head_tensors(
    tensors: Mapping[str, Tensor], head_prefixes: tuple[str, ...], model_state: Mapping[str, Tensor], dropped: list[str]
) -> dict[str, Tensor]:
    kept = {}
    for name, value in tensors.items():
        if name.startswith(head_prefixes) or (name.startswith("head.") and name not in model_state):
            dropped.append(format_dropped(name, value, "classifier or projector"))
        elif name.startswith("norm.") and name not in model_state:
            dropped.append(format_dropped(name, value, "final norm; the model norms its pooled features instead"))
        else:
            kept[name] = value
    return kept


def _head_prefixes(model: nn.Module) -> tuple[str, ...]:
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") or "head"
    names = [classifier] if isinstance(classifier, str) else list(classifier)
    return tuple(f"{name}." for name in (*names, "fc_norm"))


def _refuse_non_finite(tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], source: str) -> None:
    for name, value in tensors.items():
        if not value.is_floating_point() and (name not in model_state or model_state[name].is_floating_point()):
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(f"the checkpoint {source} holds {name} as {kind}; weights are floating-point numbers")
        if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
            raise CheckpointError(f"the checkpoint {source} holds NaN or infinity in {name}; it is of no use")


def _refuse_table_heads(tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], source: str) -> None:
    """Relative-position tables have a column a head: there the shapes do tell."""
    for name, value in tensors.items():
        if (
            name.endswith(REL_POS_TABLE)
            and name in model_state
            and value.dim() == 2
            and value.shape[1] != model_state[name].shape[1]
        ):
            raise CheckpointError(
                f"the checkpoint {source} has {value.shape[1]} attention heads by {name}, and the backbone has "
                f"{model_state[name].shape[1]}; choose the backbone with {value.shape[1]} heads"
            )


def _refuse_tracker_only(tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor], source: str) -> None:
    if "pos_embed" in model_state and "pos_embed" not in tensors and "pos_embed_x" in tensors:
        raise CheckpointError(
            f"the checkpoint {source} has position embeddings for a tracker's template and search region only "
            "(pos_embed_z, pos_embed_x), not the backbone's pos_embed; fetch the weights the tracker started from"
        )


def _describe_mismatch(
    report: LoadReport, source: str, model_state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> str:
    text = f"the checkpoint {source} does not fit the backbone: {report.format_summary()}"
    for label, names in (("missing", report.missing), ("unexpected", report.unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text += f"; {label}: {', '.join(name[:120] for name in names[:3])}{more}"
    if {name for name in model_state if name.startswith("norm.")} and not any(
        name.startswith("norm.") for name in tensors
    ):
        text += "; it has no final norm, as weights fine-tuned on pooled patch tokens: make the model with fc_norm"
    return text + "; choose the backbone it was made for, or accept a partly random trunk with --allow-partial"
