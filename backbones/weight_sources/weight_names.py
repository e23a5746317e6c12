"""What a user may have meant with the name of a checkpoint that is none. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from backbones.card import WEIGHT_SUFFIXES, BackboneCard
from backbones.registry import BACKBONES, TIMM_PREFIX
from backbones.weight_sources.hub import HUB_PREFIX
from foundation.environment import get_weights_dir
from foundation.errors import CheckpointError
from foundation.suggest import did_you_mean

_URL = re.compile(r"(https?|ftp|s3|gs):/+", re.IGNORECASE)
"""The start of an address; a path of Python makes one slash of its two."""

_MAX_LISTED_FILES = 500


def refuse_other_names(checkpoint: str, card: BackboneCard) -> None:
    """Refuse a checkpoint that is not a path but something else that can be named; pass for everything else.

    Args:
        checkpoint: what the user gave.
        card: the backbone's card.

    Raises:
        CheckpointError: an address, the name of a backbone, or a missing file whose name is close to a known one.
    """
    if _URL.match(checkpoint):
        address = _URL.sub(lambda found: f"{found[1]}://", checkpoint, count=1)
        raise CheckpointError(
            f"--checkpoint {address} is an address; download the file first and give its path. A repository of the "
            f"hub is a backbone of its own: --backbone {HUB_PREFIX}OWNER/REPO"
        )
    if checkpoint.startswith(HUB_PREFIX):
        raise CheckpointError(f"{checkpoint} is the name of a backbone, not of a file: --backbone {checkpoint}")
    path = Path(checkpoint).expanduser()
    try:
        if path.exists() or path.is_symlink():
            return
    except OSError:
        return  # a name too long, for example; whoever opens the file says so
    hint = _suggest_files(path, card) or _name_backbone(checkpoint)
    if hint:
        raise CheckpointError(f"there is no checkpoint at {path}; {hint}")


def _name_backbone(checkpoint: str) -> str:
    """Return a hint if the name is that of a backbone."""
    if checkpoint in BACKBONES.list_names() or checkpoint.startswith(TIMM_PREFIX):
        return (
            f"{checkpoint} is the name of a backbone, and --checkpoint takes a weight file: name it with --backbone "
            f"{checkpoint}, which starts from the weights of its card"
        )
    return ""


def _suggest_files(path: Path, card: BackboneCard) -> str:
    """Return a question with the files whose names are close to a missing one; "" if there are none."""
    near = {file.name: file for file in (*_list_weight_files(get_weights_dir()), *_list_weight_files(path.parent))}
    question = did_you_mean(path.name, near, hint=" ").removeprefix("; ").strip() if near else ""
    for name, file in near.items():
        if question and name in question:
            question = question.replace(name, str(file), 1)
    if question:
        return question
    # the name under which a card looks for its weights
    named = card.weights.uri.rpartition(":")[2].rpartition("/")[2] if card.weights else ""
    if named and path.name in (named, f"{named}.safetensors"):
        return (
            f"{path.name} is the name of the weights of {card.name} ({card.weights.source if card.weights else ''}): "
            f"put the file into {get_weights_dir()} and leave --checkpoint out, or give its full path"
        )
    return _name_other_card(path.name)


def _name_other_card(filename: str) -> str:
    """Return a hint if another card names a missing file as its weights."""
    for entry in BACKBONES.list_entries():
        if entry.error is None:
            weights = BACKBONES.get(entry.name).weights
            if weights is not None and filename == weights.uri.rpartition(":")[2].rpartition("/")[2]:
                return f"it is the file of the backbone {entry.name} ({weights.source}): fetch it, and give its path"
    return ""


def _list_weight_files(folder: Path) -> Iterator[Path]:
    try:
        found = [file for file in folder.iterdir() if file.name.endswith(WEIGHT_SUFFIXES)]
    except OSError:
        return
    yield from sorted(found)[:_MAX_LISTED_FILES]
