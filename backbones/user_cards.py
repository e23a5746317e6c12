"""Cards that the user has added with ``bench add``. Imports no torch.

Each card is a JSON file in ``$BENCH_CARDS``; the weights are in ``$BENCH_WEIGHTS``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from backbones.card import BackboneCard, PretrainedWeights
from foundation.environment import get_cards_dir
from foundation.errors import UserError
from foundation.files import ensure_writable_dir, write_atomic
from foundation.text.user_json import read_user_json

CARD_NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TUPLE_FIELDS = ("input_size", "mean", "std")


def list_user_cards() -> Iterator[str]:
    """Yield the names of the user's cards, sorted."""
    folder = get_cards_dir()
    if folder.is_dir():
        for path in sorted(folder.glob("*.json")):
            if CARD_NAME_PATTERN.fullmatch(path.stem):  # other files are not ours
                yield path.stem


def get_card_path(name: str) -> Path:
    """Return the file of a card; it need not exist.

    Args:
        name: the card's name.

    Raises:
        UserError: the name is not valid for a card.
    """
    if not CARD_NAME_PATTERN.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid name for a backbone; use lowercase letters, digits and _, starting with a letter"
        )
    return get_cards_dir() / f"{name}.json"


def write_card(card: BackboneCard) -> Path:
    """Write a card to its file and return the path. An existing card of the same name is replaced."""
    path = get_card_path(card.name)
    ensure_writable_dir(path.parent)
    write_atomic(path, json.dumps(card.as_dict(), indent=2, ensure_ascii=False) + "\n")
    return path


def read_card(name: str) -> BackboneCard:
    """Read a card from its file.

    Args:
        name: the card's name.

    Raises:
        ValueError: the file does not hold this card; the registry then lists it as broken.
    """
    path = get_card_path(name)
    content = read_user_json(path)
    # an unknown field may come from a newer bench: refused, since ignoring it could change what the backbone is
    known = {each.name for each in fields(BackboneCard)}
    if not isinstance(content, dict) or set(content) - known or content.get("name") != name:
        raise ValueError(f"{path} is not a card of {name}; remove it, or add the backbone again")
    weights = content.pop("weights", None)
    # JSON has no tuples, and a card must equal itself after writing and reading
    values: dict[str, Any] = {key: tuple(value) if key in _TUPLE_FIELDS else value for key, value in content.items()}
    return replace(BackboneCard(**values), weights=PretrainedWeights(**weights) if weights else None)


def __getattr__(name: str) -> BackboneCard:
    """Return a card as an attribute of this module, because a registry target is "module:attribute".

    Raises:
        AttributeError: there is no such card.
    """
    # Python also looks up names such as __path__ here, which are not card names
    if not CARD_NAME_PATTERN.fullmatch(name) or not get_card_path(name).is_file():
        raise AttributeError(name)
    return read_card(name)
