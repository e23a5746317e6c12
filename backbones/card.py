"""The backbone card: a description of a backbone and of its weights. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from foundation.errors import UserError

WEIGHT_SUFFIXES = (".pth.tar", ".pth", ".pt", ".safetensors", ".bin")
"""Suffixes that a weight file in ``$BENCH_WEIGHTS`` may have when it is named after its card."""

DISTILLATION_HEAD = "distillation_head"
"""Argument of ``create_backbone`` for a second classifier (``backbones.distillation_head``); timm does not get it."""


@dataclass(frozen=True)
class PretrainedWeights:
    """Where pre-trained weights are, and how they were made.

    Attributes:
        uri: ``hf-hub:OWNER/REPO``, or ``file:NAME`` for a file that the user downloads into ``$BENCH_WEIGHTS``.
        recipe: how the weights were trained, for example "MAE, 400 epochs, ImageNet-1K".
        source: who publishes them (paper, repository).
        licence: the licence of the weights.
        sha256: SHA-256 of the file in hexadecimal, if known.
    """

    uri: str
    recipe: str
    source: str
    licence: str
    sha256: str | None = None


@dataclass(frozen=True)
class BackboneCard:
    """One backbone of the registry.

    Attributes:
        name: the name in the registry.
        architecture: the name of the timm model.
        summary: one line for listings.
        arguments: arguments for timm's ``create_model``.
        input_size: channels, height and width (pixels) that the weights were made for.
        mean: mean of each channel, for pixel values in 0..1.
        std: standard deviation of each channel, for pixel values in 0..1.
        prefix_tokens: number of class, register and dummy tokens before the patch tokens.
        heads: attention heads of every block, which the shapes in a checkpoint do not show; ``None`` if stages differ.
        weights: pre-trained weights, or ``None`` for random initialization.
        module: the module whose import registers ``architecture`` with timm ("" if timm has it already).
        facts: published results: benchmark -> number with its source, as text.
    """

    name: str
    architecture: str
    summary: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_size: tuple[int, int, int] = (3, 224, 224)
    # the ImageNet statistics that timm and torchvision use
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    prefix_tokens: int = 1
    heads: int | None = None
    weights: PretrainedWeights | None = None
    module: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def identity_dict(self) -> dict[str, Any]:
        """Return the fields that can change a result, for the identity of a run."""
        # Texts change nothing. Weights enter the identity by the hash of their file. The module only says where the
        # architecture is registered, and the heads only serve to check a checkpoint.
        texts = ("summary", "facts", "weights", "module", "heads")
        return {key: value for key, value in self.as_dict().items() if key not in texts}

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain data, as a record stores it."""
        plain: dict[str, Any] = _to_json_types(asdict(self))
        return plain


def replace_normalization(
    card: BackboneCard, mean: Sequence[float] | None, std: Sequence[float] | None
) -> BackboneCard:
    """Return a card with another normalization of its input; without mean and std the card as it is.

    The card is part of a run's id, so another normalization is another run.

    Args:
        card: the backbone's card.
        mean: mean of each channel, for pixel values in 0..1.
        std: standard deviation of each channel, for pixel values in 0..1.

    Raises:
        UserError: one of the two without the other, a wrong number of values, or values that no pixels in 0..1 have.
    """
    if mean is None and std is None:
        return card
    if mean is None or std is None:
        given, absent = ("--mean", "--std") if std is None else ("--std", "--mean")
        raise UserError(f"{given} needs {absent}: the normalization of the input has both; give both, or neither")
    channels = card.input_size[0]
    for option, values in (("--mean", mean), ("--std", std)):
        text = " ".join(f"{value:g}" for value in values)
        if len(values) != channels:
            raise UserError(f"{option} {text} must have one value per channel, and {card.name} has {channels} channels")
        if not all(map(math.isfinite, values)):
            raise UserError(f"{option} {text} must have finite values")
        if max(values) > 1:
            raise UserError(
                f"{option} {text} looks as if it were for pixels from 0 to 255; give them for pixels from 0 to 1 "
                f"({' '.join(f'{value / 255:.4g}' for value in values)})"
            )
    if min(mean) < 0 or min(std) <= 0:
        raise UserError("for pixels from 0 to 1, --mean has values from 0 to 1, and --std values above 0 up to 1")
    return replace(card, mean=tuple(map(float, mean)), std=tuple(map(float, std)))


def format_normalization(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return a normalization in words.

    >>> format_normalization((0.5, 0.5, 0.5), (0.229, 0.224, 0.225))
    'mean 0.5, std 0.229 0.224 0.225'
    """
    texts = []
    for values in (mean, std):
        words = [f"{value:.4g}" for value in values]
        texts.append(words[0] if len(set(words)) == 1 else " ".join(words))
    return f"mean {texts[0]}, std {texts[1]}"


def _to_json_types(value: Any) -> Any:
    """Convert tuples to lists and mappings to dicts, so that the data stay equal after writing and reading JSON."""
    if isinstance(value, Mapping):
        return {key: _to_json_types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_types(item) for item in value]
    return value
