"""Keep the encoder of a pre-training run, or a weight file, as a backbone with a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import timm
import torch

from backbones.card import WEIGHT_SUFFIXES, BackboneCard, PretrainedWeights
from backbones.checkpoints.read_checkpoint import WeightFile, read_raw_weights, read_weights
from backbones.file_cards.choose_candidate import choose_normalization, require_one_candidate
from backbones.file_cards.propose_architecture import Candidate, propose_architectures, try_architecture
from backbones.file_cards.stated_input import read_stated_input
from backbones.registry import BACKBONES, TIMM_PREFIX
from backbones.user_cards import get_card_path, list_user_cards, read_card, write_card
from backbones.weight_sources.weight_folders import ENCODER_FILENAME
from backbones.weight_sources.weight_names import refuse_other_names
from backbones.weights import hash_weight_file, require_weight_file
from foundation.environment import get_weights_dir
from foundation.errors import CheckpointError, UserError
from foundation.files import atomic_writer, ensure_writable_dir, sha256_chunks, sha256_file
from foundation.weights.shard_index import is_shard_index
from results.records.record import PRETRAINING_DOMAIN
from results.records.store import read_record


class AddedBackbone(NamedTuple):
    """A card that was made of a weight file.

    Attributes:
        card: the card.
        card_path, weights_path: its file, and that of its weights.
        chosen: the architecture, with the report of loading the file into it.
        input_source: who states mean and std, in words.
    """

    card: BackboneCard
    card_path: Path
    weights_path: Path
    chosen: Candidate
    input_source: str

    def as_dict(self) -> dict[str, Any]:
        """Return the card, its files and the load report as plain data."""
        return {
            "name": self.card.name,
            "card": str(self.card_path),
            "weights": str(self.weights_path),
            "sha256": self.card.weights.sha256 if self.card.weights else None,
            "content": self.card.as_dict(),
            "same_network": list(self.chosen.names),
            "input_source": self.input_source,
            "load_report": dataclasses.asdict(self.chosen.report),
        }


def add_backbone(name: str, run: Path, *, replace: bool = False) -> dict[str, Any]:
    """Copy a run's encoder to the weights folder and write a card for it.

    Args:
        name: name of the new backbone: small letters, digits and ``_``.
        run: folder of a complete pre-training run.
        replace: replace a card of that name that was added before.

    Returns:
        Name, the files of card and weights, and the SHA-256 of the weights.

    Raises:
        UserError: the name is taken, or the folder holds no complete pre-training run.
    """
    _require_free_name(name, replace=replace)
    record = read_record(run)
    if record.domain != PRETRAINING_DOMAIN or record.status != "complete" or record.result is None:
        raise UserError(
            f"{run} is not a complete pre-training run ({record.task}, {record.status}); name the folder of one "
            "(bench list runs)"
        )
    source, digest = run / ENCODER_FILENAME, record.result.details["encoder"]["sha256"]
    if not source.is_file() or sha256_file(source) != digest:
        raise UserError(f"{source} is not the encoder that the run wrote; run it again with --fresh")
    card = _restore_card(BackboneCard, record.backbone.card)
    recipe = f"{record.protocol} on {record.config['data']}, {record.tier}, seed {record.seed}"
    weights = PretrainedWeights(f"file:{name}.pth", recipe, f"bench pretrain, run {record.run_id}", "yours", digest)
    size = record.backbone.arguments["img_size"]
    card = dataclasses.replace(
        card,
        name=name,
        summary=f"{record.backbone.name} pre-trained with {recipe}",
        input_size=(card.input_size[0], size, size),
        weights=weights,
        facts={},
    )
    # weights first, card last: a card never names a file that is not there
    target = _choose_weights_path(name, ".pth", source, digest)
    _copy_weights(source, target, digest)
    _remove_replaced_weights(name, target)
    return {"name": name, "card": str(write_card(card)), "weights": str(target), "sha256": digest}


def add_checkpoint(
    name: str,
    checkpoint: str | Path,
    *,
    architecture: str | None = None,
    weights_key: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    licence: str | None = None,
    label: str | None = None,
    replace: bool = False,
) -> AddedBackbone:
    """Copy a weight file to the weights folder and write a card for it, once it has been loaded.

    Args:
        name: name of the new backbone: small letters, digits and ``_``.
        checkpoint: the weight file; ``config.json`` or ``preprocessor_config.json`` beside it are read as well.
        architecture: a card or ``timm/NAME``; ``None``: proposed from the file.
        weights_key: the weights to take from a file that holds several versions of them.
        mean, std: of each channel, for pixels in 0..1; both or none, where file or architecture state them.
        licence: the licence of the weights.
        label: one line for listings.
        replace: replace a card of that name that was added before.

    Raises:
        UserError: the name is taken; or what the file cannot tell (architecture, mean and std) was not given.
        CheckpointError: the file cannot be read, or does not fit.
    """
    _require_free_name(name, replace=replace)
    refuse_other_names(str(checkpoint), BackboneCard(name, "", ""))
    file = read_weights(require_weight_file(Path(checkpoint).expanduser()), weights_key)
    stated = read_stated_input(file.path)
    if architecture is not None:
        is_bare = timm.is_model(architecture) and architecture not in BACKBONES.list_names()
        chosen = try_architecture(
            f"{TIMM_PREFIX}{architecture}" if is_bare else architecture, file, weights_key, stated
        )
    else:
        chosen = require_one_candidate(propose_architectures(file, weights_key, stated), file)
    card, input_source = choose_normalization(chosen, file, stated, mean, std)
    target, digest = _write_weights(name, file, weights_key)
    recipe = f"those of {file.path.name}" + (f", {weights_key}" if weights_key is not None else "")
    weights = PretrainedWeights(f"file:{target.name}", recipe, "a file of yours", licence or "not stated", digest)
    card = dataclasses.replace(
        card, name=name, summary=label or f"{card.architecture}, {recipe}", heads=chosen.heads, weights=weights
    )
    _remove_replaced_weights(name, target)
    return AddedBackbone(card, write_card(card), target, chosen, input_source)


def _write_weights(name: str, file: WeightFile, weights_key: str | None) -> tuple[Path, str]:
    """Copy a weight file; of one with several versions of the weights, or in shards, only the tensors that count.

    Returns:
        The new file, and its SHA-256.

    Raises:
        UserError: its place is taken.
        CheckpointError: the file has changed since it was loaded.
    """
    if weights_key is None and not is_shard_index(file.path):
        suffix = next((ending for ending in WEIGHT_SUFFIXES if file.path.name.endswith(ending)), ".pth")
        target = _choose_weights_path(name, suffix, file.path, file.sha256)
        _copy_weights(file.path, target, file.sha256)
        return target, file.sha256
    target = _choose_weights_path(name, ".pth", file.path, None)
    tensors = read_raw_weights(file.path, weights_key).tensors
    if hash_weight_file(file.path) != file.sha256:
        raise _make_changed_error(file.path)
    with atomic_writer(target) as new:
        torch.save({"state_dict": tensors}, new)
    return target, sha256_file(target)


def _choose_weights_path(name: str, suffix: str, source: Path, digest: str | None) -> Path:
    """Return where the weights of a new card go; no file is ever overwritten but that of the card it replaces.

    Args:
        name: of the backbone.
        suffix: ending of the new file.
        source: the file that the weights come from.
        digest: SHA-256 of the new file, if it is known.

    Raises:
        UserError: another file would be taken for the backbone's weights.
    """
    folder = get_weights_dir()
    ensure_writable_dir(folder)
    target, replaced = folder / f"{name}{suffix}", _find_replaced_weights(name)
    for other in (folder / f"{name}{ending}" for ending in WEIGHT_SUFFIXES):
        if not other.exists():
            continue
        is_source = other.resolve() == source.resolve()
        is_same = other == target and digest is not None and other.is_file() and sha256_file(other) == digest
        if not is_same and (is_source or other != replaced):
            raise UserError(
                f"{other} is there already, and would be taken for the weights of {name}; choose another name for the "
                f"backbone, or move the file out of {folder}"
            )
    return target


def _find_replaced_weights(name: str) -> Path | None:
    """Return the weights of the user's card of that name; ``None`` if there is none."""
    if not get_card_path(name).is_file():
        return None
    try:
        weights = read_card(name).weights
    except (ValueError, TypeError):
        return None  # edited by hand, so that it names no file
    return get_weights_dir() / weights.uri.removeprefix("file:") if weights else None


def _remove_replaced_weights(name: str, target: Path) -> None:
    """Remove the weights of a card that is about to be replaced, unless the new ones have their place."""
    replaced = _find_replaced_weights(name)
    # a card that was edited by hand may name any file
    own = {target.with_name(f"{name}{ending}") for ending in WEIGHT_SUFFIXES} - {target}
    if replaced in own:
        replaced.unlink(missing_ok=True)


def _copy_weights(source: Path, target: Path, digest: str) -> None:
    """Copy a file whose SHA-256 is known.

    Raises:
        CheckpointError: it is another file by now.
    """
    if source.resolve() == target.resolve():
        return
    with source.open("rb") as old, atomic_writer(target) as new:
        if sha256_chunks(_pass_chunks(old, new)) != digest:
            raise _make_changed_error(source)


def _pass_chunks(old: IO[bytes], new: IO[bytes]) -> Iterator[bytes]:
    while chunk := old.read(1 << 20):
        new.write(chunk)
        yield chunk


def _make_changed_error(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} has changed while it was added, so nothing was written; add it again")


def _require_free_name(name: str, *, replace: bool) -> None:
    """Require a name for a card that is not taken.

    Raises:
        UserError: it is not valid, or taken.
    """
    path = get_card_path(name)
    if name in BACKBONES.list_names() and name not in list_user_cards():
        raise UserError(f"{name} is a backbone of {BACKBONES.get_origin(name)} already; choose another name")
    if path.is_file() and not replace:
        raise UserError(f"{name} was added before ({path}); choose another name, or replace it with --replace")


def _restore_card(card_class: Any, content: dict[str, Any]) -> Any:
    """The backbone's card as a record has it."""
    return card_class(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})
