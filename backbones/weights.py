"""Find the weight file that a run starts from, before anything expensive is done. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from backbones.card import WEIGHT_SUFFIXES, BackboneCard, PretrainedWeights
from backbones.checkpoints.reading.file_format import read_weight_format
from backbones.weight_sources.hub import HUB_SCHEME, fetch_hub_weights, find_hub_file, get_hub_cache, get_local_name
from backbones.weight_sources.weight_folders import ENCODER_FILENAME, choose_weight_file
from backbones.weight_sources.weight_names import refuse_other_names
from backbones.weight_sources.weight_packages import (
    PACKAGE_SCHEME,
    find_package_file,
    get_package_folder,
    make_missing_package_error,
)
from foundation.environment import get_weights_dir
from foundation.errors import CheckpointError
from foundation.files import sha256_unchanged_file
from foundation.text.user_json import read_user_json
from foundation.text.user_names import require_text_name
from foundation.values.path_text import shorten_path
from foundation.weights.shard_index import hash_weights, is_shard_index, list_weight_files

RANDOM_INIT = "random"
"""The value of ``--checkpoint`` that requests random initialization although the card has weights."""


MEMORY_ARCHITECTURE = "memory"
"""The architecture of a card that describes a module from memory: nothing but the module itself can be made of it."""

_MAX_RECORD_BYTES = 1 << 26
_LARGE_BYTES = 1 << 27
"""Size of a file that takes a moment to hash."""

InitKind = Literal["random", "card", "checkpoint", "memory"]


class InitialWeights(NamedTuple):
    """What a run starts from.

    Attributes:
        init: random numbers, the file that the card names, a file that the user names, or a module from memory.
        file: the weight file; ``None`` for random weights and for a module.
        uri: where the weights come from, as the record says it.
        module: the module that the user handed over, a ``torch.nn.Module``; it is copied and never changed.
        sha256: of the module's tensors (``backbones.memory_modules.module_hash``); a file is hashed when it is read.
        num_bytes: of the module's tensors.
        weights_key: the key of the weights in the file that the user asked for; ``None``: bench chooses.
    """

    init: InitKind
    file: Path | None
    uri: str | None
    module: Any = None
    sha256: str | None = None
    num_bytes: int | None = None
    weights_key: str | None = None


def locate_weights(
    card: BackboneCard, checkpoint: str | InitialWeights | None, weights_key: str | None = None
) -> InitialWeights:
    """Find the weights that a run starts from.

    Args:
        card: the backbone's card.
        checkpoint: what the user gave: a file, the folder of a complete pre-training run, ``"random"``, or nothing
            (then the card decides). Weights that were located before are given back as they are.
        weights_key: the weights to take from a file that holds several versions of them.

    Raises:
        CheckpointError: the file is missing, or the card's weights cannot be had; never random instead.
    """
    if isinstance(checkpoint, InitialWeights):
        return checkpoint
    if weights_key is not None and (checkpoint == RANDOM_INIT or (checkpoint is None and card.weights is None)):
        raise CheckpointError(
            f"--weights-key {weights_key} names weights in a file, and the run starts from random weights; add "
            "--checkpoint FILE, or leave it out"
        )
    if checkpoint == RANDOM_INIT:
        return InitialWeights("random", None, None)
    if checkpoint is not None:
        refuse_other_names(checkpoint, card)
        path = require_weight_file(Path(checkpoint).expanduser())
        _require_stated_content(path)
        if card.weights is not None and card.weights.sha256 == sha256_unchanged_file(path):
            # the card's own file, wherever it lies: the same start as without --checkpoint, and the same id
            return InitialWeights("card", path, card.weights.uri, weights_key=weights_key)
        return InitialWeights("checkpoint", path, shorten_path(path), weights_key=weights_key)
    if card.weights is None:
        return InitialWeights("random", None, None)
    path = find_card_weights(card).file or _fetch_weights(card, card.weights)
    return InitialWeights("card", path, card.weights.uri, weights_key=weights_key)


def hash_weight_file(path: Path) -> str:
    """Return the SHA-256 of a weight file, in hexadecimal; a file that has not changed is not read again.

    Args:
        path: the file, as ``locate_weights`` found it; for the index of sharded weights, all shards are hashed, too.

    Raises:
        CheckpointError: a shard is missing.
    """
    return hash_weights(path, sha256_unchanged_file)


def _require_stated_content(path: Path) -> None:
    """Require that a file that bench wrote is still what it wrote: torch loads one with flipped bits without a word.

    Raises:
        CheckpointError: the SHA-256 is not the one that the run's folder states.
    """
    stated = _read_stated_sha256(path)
    if stated is not None and stated != sha256_unchanged_file(path):
        raise CheckpointError(
            f"the checkpoint {path} is damaged or was replaced: its SHA-256 is not the one that its run states "
            f"({stated[:12]}...); copy it again from where it was made, or copy it to another folder if it is meant"
        )


def _read_stated_sha256(path: Path) -> str | None:
    """Return what the folder of a run says of a weight file: the record of an encoder, the digest of a checkpoint."""
    is_encoder = path.name == ENCODER_FILENAME
    source = path.with_name("record.json") if is_encoder else path.parent / "sha256" / f"{path.stem}.json"
    if not source.is_file():
        return None  # not a file in the folder of a run
    try:
        content = read_user_json(source, _MAX_RECORD_BYTES)
        # a pre-training that is not complete has no result yet
        place = (content["result"] or {}).get("details", {}).get("encoder", {}) if is_encoder else content
        stated: str | None = place.get("sha256")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be checked, as {source}, which states its SHA-256, is damaged; copy it "
            "again from where it was made"
        ) from error
    return stated


def require_weight_file(path: Path) -> Path:
    """Return the path of a weight file, if there is one; of a folder, the weights in it.

    A run never goes on without the weights it was told to start from: see ``mae-lite``, where a wrong path
    logs "training from scratch" and the table gets a plausible wrong number.

    Raises:
        CheckpointError: nothing there, a folder without or with several weights, a device or pipe, no right to read, or
            large and no weight file by its first and last bytes.
    """
    # the readers of weights take no other names, and would call the file broken
    require_text_name(path, CheckpointError)
    try:
        if path.is_dir():
            path = choose_weight_file(path)
        file, there = path.is_file(), path.exists()
    except (OSError, RuntimeError) as error:  # no right to the folder, a name too long, a loop of links
        raise CheckpointError(f"the checkpoint {path} cannot be accessed ({error}); fix the path") from error
    if there and not file:
        raise CheckpointError(f"{path} is not a file but a device or pipe; name a weight file")
    if not file:
        raise CheckpointError(
            f"there is no checkpoint at {path}; fix the path (bench never trains from scratch instead; "
            "a training from random weights is requested with --checkpoint random)"
        )
    # before anything expensive: an index without one of its shards, and what cannot be a checkpoint but takes minutes
    # to hash; a small file is told apart when it is read
    for each in list_weight_files(path):
        if not is_shard_index(each) and each.stat().st_size > _LARGE_BYTES:
            read_weight_format(each)
    return path


def require_matching_sha256(card: BackboneCard, path: Path, sha256: str) -> None:
    """Accept only the file that a card means, if the card has its hash.

    Raises:
        CheckpointError: another file under its name.
    """
    expected = card.weights.sha256 if card.weights else None
    if expected not in (None, sha256):
        raise CheckpointError(
            f"{path} is not the file that the card of {card.name} means: its SHA-256 is {sha256}, not {expected}; "
            "fetch it again"
        )


class CardWeights(NamedTuple):
    """The weight file of a card on this machine: the file, if it is here, and the folder in which bench looks."""

    file: Path | None
    place: Path


def find_card_weights(card: BackboneCard) -> CardWeights:
    """Find the weights of a card on this machine; nothing is downloaded.

    Raises:
        CheckpointError: the card has no weights, or several files could be meant.
    """
    if card.weights is None:
        raise CheckpointError(f"{card.name} has no weights: it starts from random ones")
    scheme, _, rest = card.weights.uri.partition(":")
    if scheme == PACKAGE_SCHEME:
        return CardWeights(find_package_file(rest), get_package_folder())
    if scheme != HUB_SCHEME:
        return CardWeights(_find_weight_file(rest, (card.name,)), get_weights_dir())
    # timm/NAME is not looked for under NAME: that may be the name of a card of the user
    repo_name = get_local_name(rest)
    stems = [repo_name] if "/" in card.name else [card.name, repo_name]
    if (cached := find_hub_file(rest)) is not None:
        return CardWeights(cached, get_hub_cache())
    found = _find_weight_file(f"{repo_name}.safetensors", stems)
    return CardWeights(found, get_hub_cache() if found is None else get_weights_dir())


def _fetch_weights(card: BackboneCard, weights: PretrainedWeights) -> Path:
    """Fetch the weights of a card, which are not on this machine.

    Raises:
        CheckpointError: they cannot be fetched; the message says how to get them.
    """
    scheme, _, rest = weights.uri.partition(":")
    if scheme == HUB_SCHEME:
        return fetch_hub_weights(card.name, rest)
    if scheme == PACKAGE_SCHEME:
        raise make_missing_package_error(card.name, rest)
    raise CheckpointError(
        f"the weights of {card.name} are fetched by hand ({weights.source}): put {rest} into {get_weights_dir()}, "
        "or give it with --checkpoint FILE"
    )


def _find_weight_file(filename: str, stems: Sequence[str]) -> Path | None:
    """Find a file in ``$BENCH_WEIGHTS``, under its own name or another one with any ending of a weight file.

    Args:
        filename: the name that its authors gave it.
        stems: other names, without ending: that of the card.

    Raises:
        CheckpointError: there are several.
    """
    folder = get_weights_dir()
    others = (folder / f"{stem}{ending}" for stem in stems for ending in WEIGHT_SUFFIXES)
    found = [path for path in (folder / filename, *others) if path.is_file()]
    found = list(dict.fromkeys(found))  # the authors' name may be the card's name
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise CheckpointError(
            f"{folder} has {names}, all of them for {stems[0]}; keep one, or name it with --checkpoint"
        )
    return found[0] if found else None
