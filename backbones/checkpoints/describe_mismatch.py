"""Say why a checkpoint does not fit a model, from what was really found in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from backbones.checkpoints.formats import format_shape
from backbones.checkpoints.layouts.head_tensors import describe_missing_pooling
from backbones.checkpoints.trunk_prefix import count_prefix_matches

PARTIAL_TRUNK = "or accept a partly random trunk with --allow-partial"
NO_PART_FITS = "since --allow-partial accepts a part of a trunk, and nothing of this file fits"
PARTIAL_HEADS = ", or accept it with --allow-partial"
NO_PARTIAL_MODEL = "since a finished model is used as it is, and no part of it may be random"
"""How a message ends where only a trunk is loaded (for its tensors, and its head count), and where a whole model is."""

_MAX_LISTED = 3
"""How many names, or prefixes, a message lists of each kind."""


class MismatchReport(Protocol):
    """What is known about a load that failed: the tensors of each kind, formatted, and a summary in one line."""

    @property
    def missing(self) -> list[str]:
        """The tensors that the file lacks."""

    @property
    def unexpected(self) -> list[str]:
        """The tensors that the model does not have."""

    def format_summary(self) -> str:
        """Return the summary."""


def describe_mismatch(
    report: MismatchReport,
    source: str,
    model_state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    file_names: Collection[str],
    remedy: str = PARTIAL_TRUNK,
) -> str:
    """Describe in one sentence why a checkpoint does not fit a model.

    Args:
        report: the load report.
        source: the file.
        model_state: the model's state dict.
        tensors: the tensors under the names that were compared with the model's.
        file_names: the names in the file, without wrappers, before any of them was changed.
        remedy: what the user may do besides choosing another backbone, or why there is nothing.

    Returns:
        The sentence: the first names of each kind, then hints that follow from what was found.
    """
    text = f"the checkpoint {source} does not fit the backbone: {report.format_summary()}"
    for label, lines in (("missing", report.missing), ("unexpected", report.unexpected)):
        if lines:
            more = f" and {len(lines) - _MAX_LISTED} more" if len(lines) > _MAX_LISTED else ""
            text += f"; {label}: {', '.join(line[:120] for line in lines[:_MAX_LISTED])}{more}"
    common = tensors.keys() & model_state.keys()
    if 2 * len(common) < len(model_state):
        text += f"; {_describe_names(file_names, model_state)}"
    other_shapes = [name for name in tensors if name in common and tensors[name].shape != model_state[name].shape]
    if 2 * len(other_shapes) > len(common):
        text += f"; {_describe_shapes(other_shapes, tensors, model_state)}"
    elif {line.split()[0] for line in report.missing} == {"norm.weight", "norm.bias"}:
        # a frequent case with a simple remedy: weights that were fine-tuned on pooled patch tokens
        text += (
            "; it has fc_norm in place of norm, like weights fine-tuned on pooled patch tokens: create the model with "
            "fc_norm (global_pool=avg)"
            if any(name.endswith("fc_norm.weight") for name in file_names)
            else "; it has no final norm"
        )
    text += describe_missing_pooling(tensors, model_state)
    return f"{text}; choose the backbone it was made for, {remedy}"


def _describe_names(file_names: Collection[str], model_names: Collection[str]) -> str:
    """Say how a file's names begin, and how many are the model's once the best prefix is removed."""
    beginnings = Counter(name.split(".")[0] + ("." if "." in name else "") for name in file_names)
    listed = ", ".join(f"{start[:60]} ({count})" for start, count in beginnings.most_common(_MAX_LISTED))
    more = f" and {len(beginnings) - _MAX_LISTED} more" if len(beginnings) > _MAX_LISTED else ""
    counts = count_prefix_matches(file_names, model_names)
    prefix, best = max(counts.items(), key=lambda item: (item[1], -len(item[0])), default=("", 0))
    removed = f" after removing {prefix[:80]}" if prefix else ""
    return (
        f"the names in the file begin with {listed}{more}, and {best} of the backbone's {len(model_names)} names are "
        f"among them{removed}"
    )


def _describe_shapes(names: Sequence[str], tensors: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> str:
    """Say that names fit and shapes do not, with one example."""
    name = next((each for each in names if each.endswith(("cls_token", "norm.weight"))), names[0])
    return (
        f"{len(names)} tensors have the backbone's names and another shape ({name} {format_shape(tensors[name])} in "
        f"the file, {format_shape(model_state[name])} in the backbone), as those of a backbone of another size"
    )
