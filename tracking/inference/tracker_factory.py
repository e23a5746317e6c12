"""Factories that create the same trained tracker in any process, from its settings and its weights file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from backbones.card import BackboneCard, replace_normalization
from backbones.create import create_backbone
from backbones.memory_modules.module_hash import hash_state_dict
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT, InitialWeights
from engine.checkpoints import read_checkpoint
from tracking.inference.backend import TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.models.tracker_model import LossWeights, TrackerModel
from tracking.recipe import TrackingRecipe

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, for pixels from 0 to 1."""

GIVEN_NORMALIZATION = "given_normalization"
"""The name, in a run's id, of a correction: a run with ``--mean`` and ``--std`` tracks with the normalization that it
was trained with. Before, it tracked with that of the registry's card."""


class TrackerFactory(Protocol):
    """Creates the tracker of a test set. It is small, can be pickled, and creates the same tracker in every process.

    On a CPU, runtimes other than torch have to limit themselves to one thread.
    """

    @property
    def device(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""

    def __call__(self) -> Tracker:
        """Create the tracker, ready for ``init``."""

    def describe_provenance(self) -> dict[str, Any]:
        """Return everything that the boxes depend on, as plain data: other result files are not used."""


@dataclass(frozen=True)
class TorchTrackerFactory:
    """A factory for a tracker in PyTorch.

    Attributes:
        backbone_name: registry name or ``timm/<name>``.
        backbone_arguments: arguments with which the backbone was created.
        recipe: settings of the training.
        weights_file: weights of the complete network.
        device: ``cpu``, ``cuda`` or ``mps``.
        memory_backbone: card and module of a backbone that is not in a registry. A copy of the module gets the weights
            of the file too.
        normalization: mean and standard deviation of the pixels, where they are not those of the registry's card.
    """

    backbone_name: str
    backbone_arguments: Mapping[str, Any]
    recipe: TrackingRecipe
    weights_file: Path
    device: str = "cpu"
    memory_backbone: tuple[BackboneCard, InitialWeights] | None = None
    normalization: Normalization | None = None

    def load_model(self) -> TrackerModel:
        """Load the network on the CPU, in evaluation mode.

        Raises:
            CheckpointError: the file cannot be read.
        """
        # random weights to be replaced by those of the file
        card, start = self._find_card(), self.memory_backbone[1] if self.memory_backbone else RANDOM_INIT
        trunk = create_backbone(card, checkpoint=start, **self.backbone_arguments).model
        model = build_tracker_model(trunk, card, self.recipe)
        # strict: a tensor that did not load would silently keep its random values
        model.load_state_dict(read_checkpoint(self.weights_file)["state_dict"], strict=True)
        model.eval()
        return model

    def __call__(self) -> Tracker:
        """Create the tracker."""
        return Tracker(TorchNetwork(self.load_model().to(self.device)), self.recipe.crop_sizes(), self.backbone_name)

    def _find_card(self) -> BackboneCard:
        """Return the card of the backbone, with the normalization that it was trained with."""
        card = self.memory_backbone[0] if self.memory_backbone else get_card(self.backbone_name)
        return card if self.normalization is None else replace_normalization(card, *self.normalization)

    def describe_provenance(self) -> dict[str, Any]:
        """Return a hash of the weights, the crops, and how the network is computed."""
        return {
            "weights": hash_state_dict(read_checkpoint(self.weights_file)["state_dict"]),
            # everything that changes the computation with the same weights
            "backbone": {"card": self._find_card().identity_dict(), "arguments": dict(self.backbone_arguments)},
            "network": {key: getattr(self.recipe, key) for key in ("use_ce", "asymmetric_attention", "head_channels")},
            "candidate_elimination": self.recipe.ce.model_dump(mode="json") if self.recipe.use_ce else None,
            "crops": list(self.recipe.crop_sizes()),
            "runtime": TorchNetwork.runtime,
            "precision": TorchNetwork.precision,
            "device": self.device,
        }


def build_tracker_model(backbone: nn.Module, card: BackboneCard, recipe: TrackingRecipe) -> TrackerModel:
    """Build the network of a recipe around a backbone.

    Args:
        backbone: the backbone, as ``create_backbone`` returns it.
        card: its card, with mean and standard deviation of the pixels.
        recipe: settings of the network.
    """
    return TrackerModel(
        backbone,
        recipe.template_size,
        recipe.search_size,
        # the statistics that the backbone was pre-trained with
        card.mean,
        card.std,
        head_channels=recipe.head_channels,
        candidate_elimination=recipe.ce if recipe.use_ce else None,
        asymmetric_attention=recipe.asymmetric_attention,
        box_loss_cell=recipe.box_loss_cell,
        loss_weights=LossWeights(recipe.focal_weight, recipe.giou_weight, recipe.l1_weight),
        norm_group=recipe.norm_group,
    )
