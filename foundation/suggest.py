"""Suggest known names that are similar to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache


def did_you_mean(name: str, known: Iterable[str], *, hint: str = "") -> str:
    """Return the end of a sentence about an unknown name.

    Args:
        name: the unknown name.
        known: the names that exist.
        hint: what to say when no known name is similar; without a hint a short list of known names is given.

    Returns:
        Up to three similar names as a question, else the hint, else the known names if there are at most 12.

    Example:
        >>> did_you_mean("vit_nan", ["vit_nano", "resnet50"])
        '; did you mean vit_nano?'
    """
    return _describe_similar_names(name, tuple(sorted(known)), hint)


_MAX_COMPARED = 300
"""Number of characters of a name that is compared with others."""


@lru_cache(maxsize=1024)  # many records may name the same backbone that is not installed
def _describe_similar_names(name: str, known: tuple[str, ...], hint: str) -> str:
    # nobody means a similar name by nothing, and comparing very long texts takes minutes
    compared = known if len(name.strip()) > 0 and len(name) <= _MAX_COMPARED else ()
    # sorting is stable, so equally similar names stay in alphabetical order
    scored = sorted(
        ((_name_similarity(name.lower(), item.lower()), item) for item in compared), key=lambda pair: -pair[0]
    )
    # difflib's own cutoff for close matches is 0.6; slightly lower also catches two typos in a short name
    close = [item for score, item in scored[:3] if score > 0.55]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; {hint}" if hint else f" (known: {', '.join(known)})" if len(known) <= 12 else ""


def _name_similarity(name: str, other: str) -> float:
    """Return the similarity of two names, 0 to 1; a matching start of a long name counts almost as a full match."""
    whole = SequenceMatcher(None, name, other).ratio()
    # "vit_tinyy" should find "vit_tiny_patch16_224"; minus 0.02, so that a full match still comes first
    start = SequenceMatcher(None, name, other[: len(name)]).ratio() - 0.02
    return max(whole, start)
