"""A backbone to be looked into: which one, from which weights, at which size; described first, made later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.checkpoints.read_checkpoint import read_weights
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM, Start, locate_weights
from engine.seeding import mix, seed_all
from results.records.record import Backbone, Checkpoint, LoadReport

_POOLED = "fc_norm.weight"


@dataclass
class Subject:
    """A backbone as asked for.

    Attributes:
        card: what it is.
        start: its start weights.
        img_size: side of its input, pixels.
        seed: of random weights.
        allow_partial: accept a checkpoint that fills only part of the trunk.
        sha256: of the weight file.
        report: of the loading, once the backbone was made.
        parameters: number of them, once it was made; no classifier is.
    """

    card: BackboneCard
    start: Start
    img_size: int
    seed: int = 0
    allow_partial: bool = False
    sha256: str | None = None
    format: str | None = None
    report: LoadReport | None = None
    parameters: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name and where its weights come from, for figures."""
        if self.start.init == "random":
            return f"{self.card.name}, random weights"
        file = Path(self.start.uri or "").name if self.start.init == "checkpoint" else ""
        return f"{self.card.name}, {file}" if file else self.card.name

    def identity(self) -> dict[str, Any]:
        """All of it that can change a number."""
        by_seed = self.start.file is None or self.allow_partial
        return {
            "card": self.card.identity(),
            "arguments": self.arguments,
            "init": self.start.init,
            "checkpoint": self.sha256,
            "allow_partial": self.allow_partial,
            "seed": self.seed if by_seed else None,
        }

    def make(self, device: str) -> nn.Module:
        """The backbone in eval mode on its device; random weights as a run with this seed has them.

        Raises:
            CheckpointError: the weights do not fit.
            UserError: a size the architecture refuses.
        """
        seed_all(mix(self.seed, 0))
        created = create_backbone(
            self.card,
            checkpoint=str(self.start.file) if self.start.file else RANDOM,
            allow_partial=self.allow_partial,
            **self.arguments,
        )
        if created.file is not None:
            _load_pooled_norm(created.model, created.file.tensors)
        self.format = created.file.format if created.file else None
        self.report = LoadReport(**asdict(created.report)) if created.report else None
        self.parameters = sum(parameter.numel() for parameter in created.model.parameters())
        return created.model.eval().requires_grad_(False).to(device)

    def describe(self) -> Backbone:
        """The backbone as records have it."""
        checkpoint = None
        if self.start.file is not None and self.sha256 is not None:
            checkpoint = Checkpoint(
                uri=self.start.uri or str(self.start.file),
                sha256=self.sha256,
                bytes=self.start.file.stat().st_size,
                format=self.format,
                load_report=self.report,
            )
        return Backbone(
            name=self.card.name,
            card=self.card.as_dict(),
            arguments=self.arguments,
            init=self.start.init,
            checkpoint=checkpoint,
            allow_partial=self.allow_partial,
            parameters=self.parameters,
        )


def subject(
    name: str, checkpoint: str | None = None, img_size: int | None = None, seed: int = 0, allow_partial: bool = False
) -> Subject:
    """Find a backbone and its start weights.

    Weights that were fine-tuned on pooled patch tokens have no final ``norm`` but an ``fc_norm`` after pooling; the
    backbone is then made as they have it.

    Args:
        name: registry name or ``timm/<name>``.
        checkpoint: weight file, ``"random"``, or nothing: then the card decides.
        img_size: side of the input; the card's own when not given.
        seed: of random weights.
        allow_partial: accept a checkpoint that fills only part of the trunk.

    Raises:
        UnknownNameError: no such backbone.
        CheckpointError: weights that cannot be had or read.
    """
    card = get_card(name)
    start = locate_weights(card, checkpoint)
    size = img_size or card.input_size[1]
    arguments: dict[str, Any] = {"img_size": size, "num_classes": 0}
    if start.file is None:
        return Subject(card, start, size, seed, allow_partial, arguments=arguments)
    file = read_weights(start.file)
    if _POOLED in file.tensors and "norm.weight" not in file.tensors:
        arguments["global_pool"] = "avg"
    return Subject(card, start, size, seed, allow_partial, file.sha256, arguments=arguments)


def _load_pooled_norm(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``fc_norm``, which the loader leaves out as part of a head: here it is the norm of the features."""
    norm = getattr(model, "fc_norm", None)
    if isinstance(norm, nn.LayerNorm) and _POOLED in tensors:
        norm.load_state_dict({name: tensors[f"fc_norm.{name}"] for name, _ in norm.named_parameters()})
