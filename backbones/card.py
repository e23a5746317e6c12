"""The backbone card: what a backbone is and where its weights are. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class PretrainedWeights:
    """Where pre-trained weights are, and what is known of them.

    Attributes:
        uri: ``hf-hub:OWNER/REPO``, or ``file:NAME`` for a file that the user fetches into ``$BENCH_WEIGHTS``.
        recipe: how they were made, for example "MAE, 400 epochs, ImageNet-1K".
        source: who publishes them (paper, repository).
        licence: what the weights' licence demands.
        sha256: of the file, where known.
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
        name: the registry's name.
        architecture: the timm model name that is created.
        arguments: passed to timm's ``create_model``.
        input_size: channels, height, width the weights were made for.
        mean, std: per channel, of pixels in 0..1.
        prefix_tokens: class, register and dummy tokens before the patch tokens.
        heads: attention heads of every block, which no checkpoint's shapes tell; ``None`` where stages differ.
        weights: pre-trained weights, or ``None`` for random initialisation.
        module: the module whose import registers ``architecture`` with timm ("" when timm itself does).
        summary: one line for listings.
        facts: published numbers with their source, as text.
    """

    name: str
    architecture: str
    summary: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_size: tuple[int, int, int] = (3, 224, 224)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    prefix_tokens: int = 1
    heads: int | None = None
    weights: PretrainedWeights | None = None
    module: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def identity_dict(self) -> dict[str, Any]:
        """What of the card can change a number (not the texts; weights count by their hash, elsewhere)."""
        texts = ("summary", "facts", "weights", "module", "heads")
        return {key: value for key, value in self.as_dict().items() if key not in texts}

    def as_dict(self) -> dict[str, Any]:
        """The card as plain data, as it stands in a record."""
        plain: dict[str, Any] = _to_json_types(asdict(self))
        return plain


def _to_json_types(value: Any) -> Any:
    """Tuples as lists and mappings as dicts, so that data equals itself after a trip through JSON."""
    if isinstance(value, Mapping):
        return {key: _to_json_types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_types(item) for item in value]
    return value
