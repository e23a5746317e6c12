"""Protocols from Python config files, with ``--set key=value`` over them; unknown keys name the nearest."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mmengine.config import Config
from pydantic import ValidationError

from engine.recipe import Settings
from foundation.errors import ConfigError
from foundation.suggest import did_you_mean
from results.records.record import sentences

R = TypeVar("R", bound=Settings)

_WORDS = {"true": True, "false": False, "none": None, "null": None}


@dataclass(frozen=True)
class Protocol(Generic[R]):
    """A protocol as resolved: its version and source, and the recipe after tier and overrides."""

    version: int
    source: str
    recipe: R


def load_protocol(path: Path, schema: type[R], tier: str, overrides: Sequence[str] = ()) -> Protocol[R]:
    """Read a protocol file and resolve its recipe.

    The file gives ``version``, ``source``, ``recipe`` (a dict) and ``tiers`` (changes for smoke and short runs,
    by dotted key). Overrides are applied last.

    Args:
        path: the config file, ours (it is executed).
        schema: the recipe's type.
        tier: ``smoke``, ``short`` or ``full``.
        overrides: ``key=value`` with dotted keys, as given to ``--set``.

    Raises:
        ConfigError: an unknown key, or values that do not hold (all of them are named).
    """
    file = Config.fromfile(path, lazy_import=False).to_dict()
    recipe = _validate(schema, file["recipe"], str(path.name)).model_dump()
    changes = [] if tier == "full" else [f"{key}={value!r}" for key, value in file["tiers"][tier].items()]
    for change in [*changes, *overrides]:
        recipe = _set(recipe, change)
    return Protocol(file["version"], file["source"], _validate(schema, recipe, "--set"))


def parse_value(text: str) -> Any:
    """A value as typed on the command line: a Python literal, true/false/none, else the text itself.

    >>> [parse_value(text) for text in ("1e-3", "true", "[1, 2]", "cosine")]
    [0.001, True, [1, 2], 'cosine']
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _set(config: Mapping[str, Any], change: str) -> dict[str, Any]:
    """A copy of a nested configuration with one ``dotted.key=value`` changed."""
    key, equals, text = change.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, not {change!r}")
    known = list(_flatten(config))
    if key not in known:
        if any(name.startswith(f"{key}.") for name in known):
            inside = ", ".join(name for name in known if name.startswith(f"{key}."))
            raise ConfigError(f"--set {key} is a group; set one of {inside}")
        raise ConfigError(f"unknown configuration key {key!r}{did_you_mean(key, known, hint=', '.join(known))}")
    changed = _copy(config)
    *parents, last = key.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    place[last] = parse_value(text.strip())
    return changed


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _copy(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in config.items()}


def _validate(schema: type[R], content: Mapping[str, Any], source: str) -> R:
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"the configuration does not hold ({source}): {sentences(error)}") from error
