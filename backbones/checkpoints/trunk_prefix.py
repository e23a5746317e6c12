"""Find the prefix under which a checkpoint holds the trunk, guided by the names that the model has.

People wrap a backbone in modules of any name: ``net.``, ``feature_extractor.``, ``model.vit.``. No list of names is
needed to see through them: removing the right prefix gives the names of the model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

from torch import Tensor

from backbones.checkpoints.formats import BACKBONE_PREFIXES, drop_non_backbone, format_dropped
from foundation.errors import CheckpointError

_MIN_SHARE = 0.5
"""A prefix is removed only if that gives at least this share of the model's names; less is left to the load report."""

_SECOND_COPY_SHARE = 0.9
"""Another prefix is a second copy of the trunk if it gives this share of the names that the best one gives."""

_AVERAGE = re.compile(r"ema|averaged?|momentum|target|encoder_k")
_TEACHER = re.compile(r"(^|[._])teacher([._]|$)")


def count_prefix_matches(names: Collection[str], model_names: Collection[str]) -> Counter[str]:
    """Count for each prefix how many names of a file are names of the model once it is removed.

    Args:
        names: the names in the file.
        model_names: the names in the model's state dict.

    Returns:
        The number of matching names by prefix, with its final dot; "" counts the names that match as they are.
    """
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in model_names:
                counts["".join(f"{part}." for part in parts[:cut])] += 1
    return counts


def restore_own_prefixes(tensors: Mapping[str, Tensor], model_names: Collection[str]) -> dict[str, Tensor]:
    """Put a prefix back that was taken for a wrapper's, where the model itself has a module of that name.

    Args:
        tensors: the tensors by name, without wrapper prefixes.
        model_names: the names in the model's state dict.
    """
    own = [prefix for prefix in BACKBONE_PREFIXES if any(name.startswith(prefix) for name in model_names)]
    restored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        found = next((prefix for prefix in own if f"{prefix}{name}" in model_names), "")
        is_taken = name in model_names or f"{found}{name}" in tensors
        restored[name if is_taken else found + name] = value
    return restored


def strip_trunk_prefix(
    tensors: Mapping[str, Tensor],
    model: Mapping[str, Tensor],
    dropped: list[str],
    notes: list[str],
    source: str,
) -> dict[str, Tensor]:
    """Remove the prefix under which a checkpoint holds the trunk, if it has one.

    Args:
        tensors: the tensors by name.
        model: the model's state dict.
        dropped: a line is appended for each tensor of a second copy of the trunk, and of what belongs to no trunk.
        notes: a sentence is appended if a prefix was removed.
        source: the file, for messages.

    Returns:
        The tensors, those of the trunk without the prefix. The others keep their names, so that the load report lists
        those that no rule knows as unexpected.

    Raises:
        CheckpointError: the file holds several copies of the trunk, and nothing says which one is meant.
    """
    counts = count_prefix_matches(tensors, model)
    best = max(counts.values(), default=0)
    if best <= counts[""] or best < _MIN_SHARE * len(model):
        return dict(tensors)
    copies = [prefix for prefix, count in counts.items() if prefix and count >= _SECOND_COPY_SHARE * best]
    # a distillation often has a teacher of another width, whose names are those of the student
    prefix = choose_copy([each for each in copies if _has_own_shapes(each, tensors, model)] or copies, source)
    inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    outside = {name: value for name, value in tensors.items() if not name.startswith(prefix)}
    for copy in (each for each in copies if each != prefix):
        notes.append(f"another copy of the trunk is not used; --weights-key {copy[:-1]} takes it")
        other = _first_difference(copy, prefix)
        for name in [name for name in outside if name.startswith(other)]:
            dropped.append(format_dropped(name, outside.pop(name), f"another copy of the trunk; {prefix} was taken"))
    # what stands beside the trunk in the same module is named from there: "teacher.dino_head." is "dino_head."
    for name in list(outside):
        if (bare := _strip_parent(name, prefix)) not in outside:
            outside[bare] = outside.pop(name)
    notes.append(f"the trunk's names begin with {prefix} in the file, which was removed")
    outside = drop_non_backbone(outside, dropped)
    # a name may exist with and without the prefix; the trunk gets it, and the other must not vanish silently
    return inside | {(f"(outside {prefix}) {name}" if name in inside else name): v for name, v in outside.items()}


def _has_own_shapes(prefix: str, tensors: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> bool:
    """Return whether most tensors under a prefix have the shapes that the model has; tables may be of another size."""
    own = [name for name in model if f"{prefix}{name}" in tensors]
    return 2 * sum(tensors[f"{prefix}{name}"].shape == model[name].shape for name in own) > len(own)


def _first_difference(other: str, prefix: str) -> str:
    """Return the beginning of another prefix up to the first module that is not also in the prefix of the trunk."""
    parts = other.split(".")[:-1]
    own = prefix.split(".")
    shared = next((i for i, part in enumerate(parts) if part != own[i]), len(parts) - 1)
    return "".join(f"{part}." for part in parts[: shared + 1])


def _strip_parent(name: str, prefix: str) -> str:
    """Remove the longest module around the trunk from the name of a tensor that stands beside the trunk."""
    parts = prefix.split(".")[:-1]
    parents = ["".join(f"{part}." for part in parts[:cut]) for cut in range(len(parts) - 1, 0, -1)]
    return name.removeprefix(next((parent for parent in parents if name.startswith(parent)), ""))


def choose_copy(prefixes: list[str], source: str) -> str:
    """Choose among the prefixes under which a file holds whole copies of the trunk.

    Args:
        prefixes: the prefixes, at least one.
        source: the file, for messages.

    Raises:
        CheckpointError: there are several, and nothing says which one is meant.
    """
    # DINO's own evaluation loads the teacher; MoCo, BYOL and others use the online network, not its average
    for candidates in (
        prefixes,
        [prefix for prefix in prefixes if _TEACHER.search(prefix)],
        [prefix for prefix in prefixes if not _AVERAGE.search(prefix)],
    ):
        if len(candidates) == 1:
            return candidates[0]
    keys = ", ".join(prefix[:-1][:80] for prefix in prefixes[:8])
    raise CheckpointError(
        f"the checkpoint {source} holds {len(prefixes)} copies of the trunk, and bench does not guess: choose one of "
        f"them with --weights-key: {keys}"
    )
