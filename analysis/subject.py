"""A backbone to be looked into: which one, from which weights, at which size; described first, made later."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM, Start, locate_weights
from engine.seeds import mix, seed_all
from foundation.files import sha256_file
from results.record import Backbone, Checkpoint, LoadReport


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
    """Find a backbone and its start weights; nothing heavy is done.

    Args:
        name: registry name or ``timm/<name>``.
        checkpoint: weight file, ``"random"``, or nothing: then the card decides.
        img_size: side of the input; the card's own when not given.
        seed: of random weights.
        allow_partial: accept a checkpoint that fills only part of the trunk.

    Raises:
        UnknownNameError: no such backbone.
        CheckpointError: weights that cannot be had.
    """
    card = get_card(name)
    start = locate_weights(card, checkpoint)
    size = img_size or card.input_size[1]
    sha256 = sha256_file(start.file) if start.file else None
    arguments = {"img_size": size, "num_classes": 0}
    return Subject(card, start, size, seed, allow_partial, sha256, arguments=arguments)
