"""Cards a user has added: one JSON file each in ``$BENCH_CARDS``, weights in ``$BENCH_WEIGHTS``. Imports no torch."""

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
from foundation.files import write_atomic

CARD_NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TUPLE_FIELDS = ("input_size", "mean", "std")


def list_user_cards() -> Iterator[str]:
    """Names of the cards that are there."""
    folder = get_cards_dir()
    if folder.is_dir():
        for path in sorted(folder.glob("*.json")):
            if CARD_NAME_PATTERN.fullmatch(path.stem):
                yield path.stem


def get_card_path(name: str) -> Path:
    """Where a card of that name belongs.

    Raises:
        UserError: no name for a card.
    """
    if not CARD_NAME_PATTERN.fullmatch(name):
        raise UserError(f"{name!r} is no name for a backbone; use small letters, digits and _, a letter first")
    return get_cards_dir() / f"{name}.json"


def write_card(card: BackboneCard) -> Path:
    """Keep a card; one of that name is replaced."""
    path = get_card_path(card.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(card.as_dict(), indent=2, ensure_ascii=False) + "\n")
    return path


def read_card(name: str) -> BackboneCard:
    """A card as it was kept.

    Raises:
        ValueError: the file is no card; the registry then lists it as broken.
    """
    path = get_card_path(name)
    content = json.loads(path.read_text(encoding="utf-8"))
    known = {each.name for each in fields(BackboneCard)}
    if not isinstance(content, dict) or set(content) - known or content.get("name") != name:
        raise ValueError(f"{path} is no card of {name}; remove it, or add the backbone again")
    weights = content.pop("weights", None)
    values: dict[str, Any] = {key: tuple(value) if key in _TUPLE_FIELDS else value for key, value in content.items()}
    return replace(BackboneCard(**values), weights=PretrainedWeights(**weights) if weights else None)


def __getattr__(name: str) -> BackboneCard:
    """A card by its name, as the registry asks for it."""
    if not CARD_NAME_PATTERN.fullmatch(name) or not get_card_path(name).is_file():
        raise AttributeError(name)
    return read_card(name)
