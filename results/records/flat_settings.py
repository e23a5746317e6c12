"""Flatten nested settings to the dotted names that ``--set`` takes, and compare them with a protocol's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of each setting that is not a group.

    Args:
        settings: nested settings.
        prefix: dotted name of the group that ``settings`` is, with a dot at its end; empty for the outermost group.

    >>> dict(flatten_settings({"optimizer": {"lr": 0.1}, "epochs": 3}))
    {'optimizer.lr': 0.1, 'epochs': 3}
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten_settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def find_changed_settings(settings: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default of each setting that has another value, by dotted name; ``None`` where there is no default.

    Args:
        settings: nested settings, as in the ``recipe`` of a record.
        default: the nested settings that the protocol's file gives at the same tier.

    >>> find_changed_settings({"optimizer": {"lr": 0.1}, "epochs": 3}, {"optimizer": {"lr": 0.2}, "epochs": 3})
    {'optimizer.lr': 0.2}
    """
    defaults = dict(flatten_settings(default))
    return {name: defaults.get(name) for name, value in flatten_settings(settings) if defaults.get(name) != value}
