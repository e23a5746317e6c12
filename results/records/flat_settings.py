"""Flatten nested settings to the dotted names that ``--set`` takes."""

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
