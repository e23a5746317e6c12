"""Nested settings under the dotted keys that ``--set`` has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting that is not a group, with its dotted key.

    >>> dict(flatten_settings({"optimizer": {"lr": 0.1}, "epochs": 3}))
    {'optimizer.lr': 0.1, 'epochs': 3}
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten_settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
