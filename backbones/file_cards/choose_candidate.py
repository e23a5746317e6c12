"""Decide between the architectures that a weight file fits, and what its images are normalized with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import timm

from backbones.card import BackboneCard, format_normalization, replace_normalization
from backbones.checkpoints.read_checkpoint import WeightFile
from backbones.file_cards.propose_architecture import Candidate, list_network_names
from backbones.file_cards.stated_input import StatedInput
from backbones.registry import BACKBONES, TIMM_PREFIX
from backbones.user_cards import list_user_cards
from backbones.weight_sources.hub import HUB_CONFIG
from foundation.errors import UserError


def require_one_candidate(candidates: Sequence[Candidate], file: WeightFile) -> Candidate:
    """Return the only architecture that a file fits.

    Args:
        candidates: as ``propose_architectures`` returns them.
        file: the weight file.

    Raises:
        UserError: none fits, or several do, which shapes and weights cannot tell apart.
    """
    if not candidates:
        raise UserError(
            f"{file.path} ({file.format}, {len(file.tensors)} tensors) fits no architecture that bench or timm has; "
            "name the one that it was made for with --arch, and the message says what does not fit"
        )
    if len(candidates) > 1:
        words = [
            f"{each.names[0]}" + (f" ({each.heads} heads)" if each.heads is not None else "") for each in candidates
        ]
        raise UserError(
            f"{file.path} fits several architectures, which its shapes cannot tell apart: {', '.join(words)}; name the "
            "one that it was made for with --arch"
        )
    return candidates[0]


def choose_normalization(
    chosen: Candidate,
    file: WeightFile,
    stated: StatedInput,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> tuple[BackboneCard, str]:
    """Return the card of a candidate with the normalization of its input, and who states it, in words.

    Args:
        chosen: the architecture.
        file: the weight file.
        stated: what files beside the weight file say.
        mean, std: what the user gave.

    Raises:
        UserError: nobody states them, or the architecture's own weights disagree.
    """
    if mean is not None or std is not None:
        return replace_normalization(chosen.card, mean, std), "--mean and --std"
    # two sets of weights of one network may go by different names: the file could be of either
    names = list_network_names(chosen, file.tensors)
    own_names = {chosen.card.architecture, *(name.removeprefix(TIMM_PREFIX) for name in names)}
    states_both = stated.mean is not None and stated.std is not None
    is_other = states_both and stated.source == HUB_CONFIG and stated.architecture not in own_names
    if states_both and not is_other:
        try:
            return replace_normalization(chosen.card, stated.mean, stated.std), f"{stated.source} beside the file"
        except UserError as error:
            raise UserError(f"{stated.source} beside {file.path} states an unusable mean or std: {error}") from error
    known = _list_known_normalizations(chosen._replace(names=names))
    if len(known) == 1 and not is_other:
        normalization, owners = next(iter(known.items()))
        words = f"that of all known weights of this architecture, for example {owners[0]}; the file states none"
        return replace_normalization(chosen.card, *normalization), words
    values = "; ".join(f"{format_normalization(*key)} ({', '.join(names[:4])})" for key, names in known.items())
    if is_other:
        values = f"{format_normalization(stated.mean or (), stated.std or ())} ({stated.architecture})"
        raise UserError(
            f"{stated.source} beside {file.path} is of another architecture, so its {values} may not be that of this "
            "file; give mean and std of its training with --mean and --std, for pixels from 0 to 1"
        )
    why = f"weights of this architecture disagree: {values}" if known else "nothing states them for this architecture"
    raise UserError(
        f"the file does not say with which mean and std its images were normalized, and {why}; give those of its "
        "training with --mean and --std, for pixels from 0 to 1"
    )


def _list_known_normalizations(chosen: Candidate) -> dict[tuple[tuple[float, ...], tuple[float, ...]], list[str]]:
    """Return mean and std of the pretrained weights that are known for an architecture, with the names of these."""
    found: dict[tuple[tuple[float, ...], tuple[float, ...]], list[str]] = defaultdict(list)
    architectures = {name.removeprefix(TIMM_PREFIX) for name in chosen.names if name.startswith(TIMM_PREFIX)}
    for architecture in sorted(architectures):
        for name in timm.list_models(f"{architecture}.*", pretrained=True):
            config = timm.get_pretrained_cfg(name)
            if config is not None:
                found[tuple(config.mean), tuple(config.std)].append(name)
    user_cards = set(list_user_cards())
    for entry in BACKBONES.list_entries():
        card = BACKBONES.get(entry.name) if entry.error is None else None
        # cards of random weights state nothing that a training decided
        if card is None or card.weights is None or entry.name in user_cards:
            continue
        if card.architecture == chosen.card.architecture:
            found[tuple(card.mean), tuple(card.std)].append(entry.name)
    return found
