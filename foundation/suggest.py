"""The nearest known names to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher


def did_you_mean(name: str, known: Iterable[str], *, hint: str = "") -> str:
    """The end of a sentence about an unknown ``name``: the nearest names, else ``hint``.

    >>> did_you_mean("vit_nan", ["vit_nano", "resnet50"])
    '; did you mean vit_nano?'
    """
    known = sorted(known)
    scored = sorted(((_name_similarity(name.lower(), item.lower()), item) for item in known), key=lambda pair: -pair[0])
    close = [item for score, item in scored[:3] if score > 0.55]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; {hint}" if hint else f" (known: {', '.join(known)})" if len(known) <= 12 else ""


def _name_similarity(name: str, other: str) -> float:
    """How near two names are, 0 to 1; the start of a long name counts nearly as much as the whole."""
    whole = SequenceMatcher(None, name, other).ratio()
    start = SequenceMatcher(None, name, other[: len(name)]).ratio() - 0.02
    return max(whole, start)
