"""Keep the encoder of a pre-training run as a backbone with a name."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from backbones.card import BackboneCard, PretrainedWeights
from backbones.registry import BACKBONES
from backbones.user_cards import get_card_path, list_user_cards, write_card
from backbones.weight_folders import ENCODER_FILENAME
from foundation.environment import get_weights_dir
from foundation.errors import UserError
from foundation.files import atomic_writer, sha256_file
from results.records.record import PRETRAINING_DOMAIN
from results.records.store import read_record


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
    path = get_card_path(name)
    if name in BACKBONES.list_names() and name not in list_user_cards():
        raise UserError(f"{name} is a backbone of {BACKBONES.get_origin(name)} already; choose another name")
    if path.is_file() and not replace:
        raise UserError(f"{name} was added before ({path}); choose another name, or replace it with --replace")
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
    target = get_weights_dir() / f"{name}.pth"
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as old, atomic_writer(target) as new:
        shutil.copyfileobj(old, new)
    return {"name": name, "card": str(write_card(card)), "weights": str(target), "sha256": digest}


def _restore_card(card_class: Any, content: dict[str, Any]) -> Any:
    """The backbone's card as a record has it."""
    return card_class(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})
