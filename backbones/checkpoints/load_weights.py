"""Put a checkpoint's tensors into a model and account for every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from backbones.checkpoints.attention_heads import check_heads
from backbones.checkpoints.beit import fit_beit_parts
from backbones.checkpoints.conversion import drop_pretraining, to_timm_names
from backbones.checkpoints.formats import shape_text, with_reason, with_shape
from backbones.checkpoints.read_checkpoint import WeightFile
from backbones.checkpoints.resize import TABLE, fit_sizes
from foundation.errors import CheckpointError

_COMPUTED = ("relative_position_index", "attn_mask", "relative_coords_table")
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
        share: elements of the trunk that were loaded, 0 to 1.
        notes: whatever else a reader should know.
    """

    matched: int
    resized: list[str]
    missing: list[str]
    unexpected: list[str]
    dropped: list[str]
    share: float
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether the whole trunk was loaded and the file holds nothing more."""
        return not self.missing and not self.unexpected

    def summary(self) -> str:
        """One line: the share and the counts."""
        text = f"{100 * self.share:.1f} % of the trunk loaded ({self.matched} tensors"
        for label in ("resized", "missing", "unexpected", "dropped"):
            if names := getattr(self, label):
                text += f", {len(names)} {label}"
        return text + ")"


def load_file(model: nn.Module, file: WeightFile, *, allow_partial: bool, card_heads: int | None = None) -> LoadReport:
    """Load a weight file as read into ``model`` (in place) and report; see ``load_into``."""
    report = load_into(
        model,
        file.tensors,
        allow_partial=allow_partial,
        source=str(file.path),
        arguments=file.arguments,
        card_heads=card_heads,
    )
    return replace(report, dropped=[*file.dropped, *report.dropped], notes=[*file.notes, *report.notes])


def load_into(
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
    own = {name: value for name, value in model.state_dict().items() if not name.endswith(_COMPUTED)}
    resized: list[str] = []
    dropped: list[str] = []
    notes: list[str] = []
    tensors = to_timm_names(tensors, own)
    _refuse_tracker_only(tensors, own, source)
    tensors = drop_pretraining(tensors, own, dropped)
    tensors = _without_head(tensors, _head_prefixes(model), own, dropped)
    _refuse_bad_numbers(tensors, own, source)
    _refuse_other_tables(tensors, own, source)
    tensors = fit_beit_parts(tensors, own, dropped, notes)
    tensors = fit_sizes(tensors, model, own, resized, notes)
    report, accepted = _account(tensors, own, _head_prefixes(model), LoadReport(0, resized, [], [], dropped, 0, notes))
    if not accepted or (not report.whole and not allow_partial):
        raise CheckpointError(_misfit(report, source, own, tensors))
    try:
        notes += check_heads(model, accepted, arguments or {}, source, card_heads)
    except CheckpointError as error:
        if not allow_partial:
            raise
        notes.append(f"accepted with --allow-partial: {error}")
    model.load_state_dict(accepted, strict=False)  # strict by the accounting above
    return report


def _account(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], head: tuple[str, ...], report: LoadReport
) -> tuple[LoadReport, dict[str, Tensor]]:
    """Match names and shapes against the model's trunk."""
    trunk = {name: value for name, value in own.items() if not name.startswith(head)}
    accepted: dict[str, Tensor] = {}
    unexpected, missing = [], []
    for name, value in tensors.items():
        if name not in trunk:
            unexpected.append(with_shape(name, value))
        elif value.shape == trunk[name].shape:
            accepted[name] = value
    for name, value in trunk.items():
        if name not in accepted:
            there = f", the file has {shape_text(tensors[name])}" if name in tensors else ""
            missing.append(f"{with_shape(name, value)}{there}")
    total = sum(value.numel() for value in trunk.values())
    share = sum(value.numel() for value in accepted.values()) / total
    return replace(report, matched=len(accepted), missing=missing, unexpected=unexpected, share=share), accepted


def _without_head(
    tensors: Mapping[str, Tensor], head: tuple[str, ...], own: Mapping[str, Tensor], dropped: list[str]
) -> dict[str, Tensor]:
    kept = {}
    for name, value in tensors.items():
        if name.startswith(head) or (name.startswith("head.") and name not in own):
            dropped.append(with_reason(name, value, "classifier or projector"))
        elif name.startswith("norm.") and name not in own:
            dropped.append(with_reason(name, value, "final norm; the model norms its pooled features instead"))
        else:
            kept[name] = value
    return kept


def _head_prefixes(model: nn.Module) -> tuple[str, ...]:
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") or "head"
    names = [classifier] if isinstance(classifier, str) else list(classifier)
    return tuple(f"{name}." for name in (*names, "fc_norm"))


def _refuse_bad_numbers(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    for name, value in tensors.items():
        if not value.is_floating_point() and (name not in own or own[name].is_floating_point()):
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(f"the checkpoint {source} holds {name} as {kind}; weights are floating-point numbers")
        if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
            raise CheckpointError(f"the checkpoint {source} holds NaN or infinity in {name}; it is of no use")


def _refuse_other_tables(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    """Relative-position tables have a column a head: there the shapes do tell."""
    for name, value in tensors.items():
        if name.endswith(TABLE) and name in own and value.dim() == 2 and value.shape[1] != own[name].shape[1]:
            raise CheckpointError(
                f"the checkpoint {source} has {value.shape[1]} attention heads by {name}, and the backbone has "
                f"{own[name].shape[1]}; choose the backbone with {value.shape[1]} heads"
            )


def _refuse_tracker_only(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    if "pos_embed" in own and "pos_embed" not in tensors and "pos_embed_x" in tensors:
        raise CheckpointError(
            f"the checkpoint {source} has position embeddings for a tracker's template and search region only "
            "(pos_embed_z, pos_embed_x), not the backbone's pos_embed; fetch the weights the tracker started from"
        )


def _misfit(report: LoadReport, source: str, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    text = f"the checkpoint {source} does not fit the backbone: {report.summary()}"
    for label, names in (("missing", report.missing), ("unexpected", report.unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text += f"; {label}: {', '.join(name[:120] for name in names[:3])}{more}"
    if {name for name in own if name.startswith("norm.")} and not any(name.startswith("norm.") for name in tensors):
        text += "; it has no final norm, as weights fine-tuned on pooled patch tokens: make the model with fc_norm"
    return text + "; choose the backbone it was made for, or accept a partly random trunk with --allow-partial"
