"""Describe a backbone to analyze (name, weights, input size), and build it later.

The description comes first, because it decides the id of the analysis: a stored result needs no model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from analysis.request import BackboneChoice
from backbones.card import BackboneCard, replace_normalization
from backbones.checkpoints.earlier_loading import FC_NORM_KEPT
from backbones.checkpoints.loading_fixes import list_loading_fixes
from backbones.checkpoints.read_checkpoint import find_identity_key, read_weights
from backbones.color_input import require_color_input
from backbones.create import create_backbone
from backbones.model_digest import identify_plugin_code
from backbones.registry import get_card
from backbones.weights import InitialWeights, locate_weights
from engine.seeding import derive_seed, seed_all
from foundation.weights.shard_index import count_weight_bytes
from results.records.record import BackboneRecord, LoadReportRecord, StartCheckpoint

_POOLED_NORM_KEY = "fc_norm.weight"


@dataclass
class BackboneSpec:
    """A requested backbone.

    Attributes:
        card: the card of the backbone.
        start: the weights it starts from.
        img_size: side of its square input, pixels.
        seed: seed of random weights.
        allow_partial: accept a checkpoint that fills only part of the backbone.
        weights_sha256: SHA-256 of the weight file; ``None`` for random weights.
        weights_key: which weights of the file, if not its plain ones.
        loading_fixes: corrections of the loading that change what exactly this backbone starts from.
        weights_format: format of the weight file; known after ``build_model``.
        load_report: report of the loaded weights; known after ``build_model``.
        num_parameters: number of parameters without a classifier; known after ``build_model``.
        model_arguments: arguments for the constructor of the model.
    """

    card: BackboneCard
    start: InitialWeights
    img_size: int
    seed: int = 0
    allow_partial: bool = False
    weights_sha256: str | None = None
    weights_key: str | None = None
    loading_fixes: list[str] = field(default_factory=list)
    weights_format: str | None = None
    load_report: LoadReportRecord | None = None
    num_parameters: int | None = None
    model_arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name of the backbone and source of its weights, for figures."""
        if self.start.init == "random":
            return f"{self.card.name}, random weights"
        file = Path(self.start.uri or "").name if self.start.init == "checkpoint" else ""
        file += f" ({self.weights_key})" if self.weights_key else ""
        return f"{self.card.name}, {file}" if file else self.card.name

    def identity(self) -> dict[str, Any]:
        """Return everything about the backbone that can change a number."""
        # The seed does not affect fully loaded weights. Left out of the id, it lets every --seed find the same record.
        by_seed = self.start.init == "random" or self.allow_partial
        return {
            "card": self.card.identity_dict(),
            "arguments": self.model_arguments,
            "init": self.start.init,
            "checkpoint": self.weights_sha256,
            **({"weights_key": self.weights_key} if self.weights_key is not None else {}),
            **({"loading_fixes": self.loading_fixes} if self.loading_fixes else {}),
            "allow_partial": self.allow_partial,
            "seed": self.seed if by_seed else None,
            **identify_plugin_code(self.card, self.model_arguments),
        }

    def build_model(self, device: str) -> nn.Module:
        """Build the backbone in eval mode on a device; random weights are those of a run with the same seed.

        Args:
            device: ``cpu``, ``cuda`` or ``mps``.

        Raises:
            CheckpointError: the weights do not fit the backbone.
            UserError: the architecture does not accept the input size.
        """
        # The same seed derivation as in a run, so that random weights are those from which the run starts
        seed_all(derive_seed(self.seed, 0))
        created = create_backbone(
            self.card,
            checkpoint=self.start,
            allow_partial=self.allow_partial,
            **self.model_arguments,
        )
        self.weights_format = created.weight_file.format if created.weight_file else None
        self.load_report = LoadReportRecord.from_report(created.load_report) if created.load_report else None
        self.num_parameters = sum(parameter.numel() for parameter in created.model.parameters())
        return created.model.eval().requires_grad_(False).to(device)

    def to_record(self) -> BackboneRecord:
        """Return the backbone in the form of the record."""
        checkpoint = None
        if self.start.file is not None and self.weights_sha256 is not None:
            checkpoint = StartCheckpoint(
                uri=self.start.uri or str(self.start.file),
                sha256=self.weights_sha256,
                bytes=count_weight_bytes(self.start.file),
                weights_key=self.weights_key,
                loading_fixes=self.loading_fixes,
                format=self.weights_format,
                load_report=self.load_report,
            )
        return BackboneRecord(
            name=self.card.name,
            card=self.card.as_dict(),
            arguments=self.model_arguments,
            init=self.start.init,
            checkpoint=checkpoint,
            allow_partial=self.allow_partial,
            parameters=self.num_parameters,
        )


def resolve_backbone(
    choice: BackboneChoice, img_size: int | None = None, seed: int = 0, allow_partial: bool = False
) -> BackboneSpec:
    """Find a backbone and its start weights.

    Weights that were fine-tuned on pooled patch tokens do not have a final ``norm`` but an ``fc_norm`` after pooling.
    The backbone is then built with the same structure.

    Args:
        choice: the backbone and its start weights as the user gave them.
        img_size: side of the square input, pixels; ``None`` for the size on the card.
        seed: seed of random weights.
        allow_partial: accept a checkpoint that fills only part of the backbone.

    Raises:
        UnknownNameError: there is no such backbone.
        CheckpointError: the weights are missing or cannot be read.
    """
    card = replace_normalization(get_card(choice.name), choice.mean, choice.std)
    require_color_input(card)
    start = locate_weights(card, choice.checkpoint, choice.weights_key)
    size = img_size or card.input_size[1]
    # 0 classes: timm then builds the model without a classifier, which no analysis reads
    arguments: dict[str, Any] = {"img_size": size, "num_classes": 0}
    if start.file is None:
        return BackboneSpec(card, start, size, seed, allow_partial, model_arguments=arguments)
    file = read_weights(start.file, start.weights_key)
    if _POOLED_NORM_KEY in file.tensors and "norm.weight" not in file.tensors:
        arguments["global_pool"] = "avg"  # timm's ViT then has fc_norm instead of norm
    fixes = list_loading_fixes(card, start, arguments, allow_partial=allow_partial)
    return BackboneSpec(
        card,
        start,
        size,
        seed,
        allow_partial,
        file.sha256,
        find_identity_key(start.file, start.weights_key),
        # the norm after pooling is no correction here: analyses have always loaded it
        [fix for fix in fixes if fix != FC_NORM_KEPT],
        model_arguments=arguments,
    )
