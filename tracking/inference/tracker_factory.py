"""A trained tracker as something that any process can make: its settings, and its weights by file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.module_hash import hash_state_dict
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT, InitialWeights
from engine.checkpoints import read_checkpoint
from tracking.inference.backend import TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.models.tracker_model import LossWeights, TrackerModel
from tracking.recipe import TrackingRecipe


class TrackerFactory(Protocol):
    """What a test set is tracked with: small, may be pickled, and makes the same tracker in every process.

    On a CPU its runtime has to use one thread where torch's thread count does not reach it.
    """

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""

    def __call__(self) -> Tracker:
        """The tracker, ready to ``init``."""

    def describe_provenance(self) -> dict[str, Any]:
        """Everything that its boxes depend on, as plain data: result files of anything else are not taken for its."""


@dataclass(frozen=True)
class TorchTrackerFactory:
    """A tracker in PyTorch by its weights file.

    Attributes:
        backbone_name: registry name or ``timm/<name>``.
        backbone_arguments: what the backbone was created with.
        recipe: of the training.
        weights_file: the file of the whole network.
        device: ``cpu`` or ``cuda``.
        memory_backbone: card and module of a backbone that is in no registry; its copy is filled from the file too.
    """

    backbone_name: str
    backbone_arguments: Mapping[str, Any]
    recipe: TrackingRecipe
    weights_file: Path
    device: str = "cpu"
    memory_backbone: tuple[BackboneCard, InitialWeights] | None = None

    def load_model(self) -> TrackerModel:
        """The network on a CPU, in evaluation mode.

        Raises:
            CheckpointError: the file cannot be read.
        """
        card, start = self.memory_backbone or (get_card(self.backbone_name), RANDOM_INIT)
        trunk = create_backbone(card, checkpoint=start, **self.backbone_arguments).model
        model = build_tracker_model(trunk, card, self.recipe)
        model.load_state_dict(read_checkpoint(self.weights_file)["state_dict"], strict=True)
        model.eval()
        return model

    def __call__(self) -> Tracker:
        """The tracker."""
        return Tracker(TorchNetwork(self.load_model().to(self.device)), self.recipe.crop_sizes(), self.backbone_name)

    def describe_provenance(self) -> dict[str, Any]:
        """Weights (by SHA-256 of names and values), crops, and how they are computed."""
        return {
            "weights": hash_state_dict(read_checkpoint(self.weights_file)["state_dict"]),
            "network": {key: getattr(self.recipe, key) for key in ("use_ce", "asymmetric_attention", "head_channels")},
            "crops": list(self.recipe.crop_sizes()),
            "runtime": TorchNetwork.runtime,
            "precision": TorchNetwork.precision,
            "device": self.device,
        }


def build_tracker_model(backbone: nn.Module, card: BackboneCard, recipe: TrackingRecipe) -> TrackerModel:
    """The network of a recipe around a backbone."""
    return TrackerModel(
        backbone,
        recipe.template_size,
        recipe.search_size,
        card.mean,
        card.std,
        head_channels=recipe.head_channels,
        candidate_elimination=recipe.ce if recipe.use_ce else None,
        asymmetric_attention=recipe.asymmetric_attention,
        box_loss_cell=recipe.box_loss_cell,
        loss_weights=LossWeights(recipe.focal_weight, recipe.giou_weight, recipe.l1_weight),
    )
