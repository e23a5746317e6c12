"""The backbone card: a description of a backbone and of its weights. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


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
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
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


def _to_json_types(value: Any) -> Any:
    """Convert tuples to lists and mappings to dicts, so that the data stay equal after writing and reading JSON."""
    if isinstance(value, Mapping):
        return {key: _to_json_types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_types(item) for item in value]
    return value
