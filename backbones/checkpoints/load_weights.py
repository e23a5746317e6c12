"""Load a checkpoint's tensors into a model and report what happened to each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from backbones.checkpoints.attention_heads import check_head_count
from backbones.checkpoints.describe_mismatch import (
    NO_PART_FITS,
    NO_PARTIAL_MODEL,
    PARTIAL_HEADS,
    PARTIAL_TRUNK,
    describe_mismatch,
)
from backbones.checkpoints.fit_tensors import FittedTensors, fit_tensors, get_head_prefixes
from backbones.checkpoints.formats import format_shape, format_tensor
from backbones.checkpoints.read_checkpoint import WeightFile
from backbones.checkpoints.sizes.resize import explain_token_mixers
from foundation.errors import CheckpointError


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
    model: nn.Module,
    file: WeightFile,
    *,
    allow_partial: bool,
    card_heads: int | None = None,
    card_size: tuple[int, int] | None = None,
    with_head: bool = False,
) -> LoadReport:
    """Load a weight file into a model, in place.

    Args:
        model: a timm model.
        file: the file, as ``read_weights`` returns it.
        allow_partial: accept an incomplete load; see ``load_tensors``.
        card_heads: the head count that the card states for these weights, if it states one.
        card_size: height and width of the images that the card states for these weights, if it is their card.
        with_head: load the classifier too; see ``load_tensors``.

    Returns:
        The report, including what was dropped when the file was read.

    Raises:
        CheckpointError: see ``load_tensors``.
    """
    report = load_tensors(
        model,
        file.tensors,
        allow_partial=allow_partial,
        source=file.source or str(file.path),
        arguments=file.arguments,
        card_heads=card_heads,
        card_size=card_size,
        with_head=with_head,
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
    card_size: tuple[int, int] | None = None,
    optional: tuple[str, ...] = (),
    with_head: bool = False,
) -> LoadReport:
    """Load tensors into a model, in place.

    The trunk is everything except the classifier. The norm after pooling (``fc_norm``) belongs to it if the file has
    one. Else ``fc_norm`` starts anew and the file's final ``norm`` is dropped, as in the authors' fine-tuning.

    Args:
        model: a timm model.
        tensors: the tensors by name, as ``backbones.checkpoints.read_checkpoint`` returns them.
        allow_partial: accept a trunk that is only partly loaded, unexpected tensors, and a contradicting head count.
        source: the file, for messages.
        arguments: the arguments of the training run, as stored in the file.
        card_heads: the head count that the card states for these weights, if it states one.
        card_size: height and width of the images that the card states for these weights, if any.
        optional: names in the trunk that the file may lack, since the caller does not read them; the notes list those
            that it lacks.
        with_head: the classifier must be loaded, and so must every norm: nothing in a finished model starts anew.

    Returns:
        The report.

    Raises:
        CheckpointError: trunk (or, with ``with_head``, model) incomplete, tensors left over or another head count
            (unless ``allow_partial``); or nothing fits, or a tensor is not floating-point or not finite. The model is
            then left unchanged.
    """
    stated = arguments or {}
    fitted = fit_tensors(
        model, tensors, source=source, arguments=stated, card_size=card_size, optional=optional, with_head=with_head
    )
    notes = fitted.notes
    blank = LoadReport(0, fitted.resized, [], [], fitted.dropped, 0, notes)
    head_prefixes = get_head_prefixes(model)
    # what has these prefixes is not compared, unless the head must be there too
    report, accepted = _match_tensors(fitted.tensors, fitted.own, () if with_head else head_prefixes, blank)
    # with nothing accepted, even --allow-partial would mean a random model under the checkpoint's name
    if not accepted or (not report.is_complete and not allow_partial):
        raise _explain_refusal(report, fitted, source, head_prefixes if with_head else ())
    try:
        notes += check_head_count(model, accepted, stated, source, card_heads)
    except CheckpointError as error:
        if not allow_partial:  # of a finished model nothing is accepted, so no option is offered
            raise CheckpointError(f"{error}{'' if with_head else PARTIAL_HEADS}") from error
        notes.append(f"accepted with --allow-partial: {error}")
    # strict=False because heads and buffers are absent on purpose; _match_tensors has checked all the rest
    model.load_state_dict(accepted, strict=False)
    return report


def _explain_refusal(
    report: LoadReport, fitted: FittedTensors, source: str, wanted_head: tuple[str, ...]
) -> CheckpointError:
    """Return the error that says why a checkpoint does not fit; ``wanted_head`` is empty where no head is loaded."""
    # a trunk that fits and a head that is missing is the usual case, and deserves its own sentence
    head_lines = [line for line in report.missing if line.startswith(wanted_head)] if wanted_head else []
    if head_lines and len(head_lines) == len(report.missing) and not report.unexpected:
        return make_headless_error(source, head_lines)
    if why := explain_token_mixers(fitted.tensors, fitted.own):
        return CheckpointError(f"the checkpoint {source} does not fit the backbone: {why}")
    remedy = NO_PARTIAL_MODEL if wanted_head else PARTIAL_TRUNK if report.matched else NO_PART_FITS
    return CheckpointError(describe_mismatch(report, source, fitted.own, fitted.tensors, fitted.file_names, remedy))


def make_headless_error(source: str, missing: Sequence[str]) -> CheckpointError:
    """Return the refusal of weights without a classifier that fits, where a finished model is needed.

    Args:
        source: the file, for messages.
        missing: the tensors of the classifier that it lacks, formatted.
    """
    return CheckpointError(
        f"the checkpoint {source} has no classifier that fits the model ({', '.join(missing)}), and random numbers in "
        "its place would be a wrong result; name a file with its classifier, or train one with bench run"
    )


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
