"""What a run states of weights that the user brought: which of a file's versions, and what input they were given."""

from __future__ import annotations

from backbones.card import format_normalization
from results.records.record import BackboneRecord


def describe_given_weights(backbone: BackboneRecord) -> str:
    """Return the chosen weights and the normalization of the input; empty unless the weights came by ``--checkpoint``.

    Two backbones of one architecture may have cards with different normalizations, and a file does not say which one
    it was trained with, so the one that counted stands beside the number.

    Args:
        backbone: as the record has it.
    """
    if backbone.init != "checkpoint":
        return ""
    return ", ".join(filter(None, (describe_weights_key(backbone), describe_input(backbone))))


def describe_weights_key(backbone: BackboneRecord) -> str:
    """Return which weights of a file were taken; empty where they are its plain ones.

    >>> from results.records.record import StartCheckpoint
    >>> start = StartCheckpoint(uri="a.pth", sha256="0" * 64, bytes=1, weights_key="model_ema")
    >>> describe_weights_key(BackboneRecord(name="a", card={}, arguments={}, init="checkpoint", checkpoint=start))
    "weights under 'model_ema' (running average)"
    """
    key = backbone.checkpoint.weights_key if backbone.checkpoint else None
    if key is None:
        return ""
    return f"weights under {key!r}" + (" (running average)" if "ema" in key.lower().split("_") else "")


def describe_input(backbone: BackboneRecord) -> str:
    """Return the normalization of a backbone's input in words; empty if the record does not have it."""
    values = [backbone.card.get(name) for name in ("mean", "std")]
    if not all(isinstance(each, list | tuple) and each and all(map(_is_number, each)) for each in values):
        return ""  # a record may be of anyone
    return format_normalization(*values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
