"""The backbone that the conformance checks test, and the exceptions that a check may raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.features import get_reductions, get_size_divisor
from backbones.registry import get_card
from backbones.weights import find_card_weights

NUM_TEST_CLASSES = 10
"""Number of classes that a backbone under test is created with."""


class ContractViolation(Exception):  # noqa: N818 - named for what the backbone does
    """The backbone violates the contract; the message says how."""


class CheckSkipped(Exception):  # noqa: N818 - not an error of the backbone
    """A check could not be run; the message says why."""


@dataclass
class BackboneUnderTest:
    """A backbone under test.

    Attributes:
        create_model: creates the model for a height and width in pixels, with random weights and
            ``NUM_TEST_CLASSES`` classes.
        img_size: the height and width in pixels that the backbone is made for.
        channels: number of image channels.
        create_for_task: creates the model for a size with the arguments that a protocol asks for, as keywords;
            ``None`` if it cannot be made again.
        load_for_task: does the same with the weights of the card; ``None`` if they are not on this machine.
    """

    create_model: Callable[[tuple[int, int]], nn.Module]
    img_size: tuple[int, int]
    channels: int = 3
    create_for_task: Callable[..., nn.Module] | None = None
    load_for_task: Callable[..., nn.Module] | None = None

    @cached_property
    def model(self) -> nn.Module:
        """The model that most checks share. A check that changes the model must work on a copy."""
        return self.create_perturbed(self.img_size, seed=0)

    @cached_property
    def size_step(self) -> tuple[int, int]:
        """The steps, in pixels, by which height and width may change.

        The patch size for a plain ViT, the reduction of the coarsest stage for a hierarchical backbone.
        """
        # models that pad by themselves have the divisor 1; the coarsest stage's step adds full cells to every stage
        patch = get_size_divisor(self.model)
        coarsest = max(get_reductions(self.model))
        return (max(patch[0], coarsest), max(patch[1], coarsest))

    def create_perturbed(self, size: tuple[int, int], seed: int) -> nn.Module:
        """Create a model in eval mode with slightly perturbed weights.

        Without the perturbation, gates that are initialized to zero (LayerScale, the last norm of a residual branch, a
        zeroed classifier) would hide everything behind them from the checks.

        Args:
            size: height and width in pixels.
            seed: seed of the initialization and the perturbation.
        """
        # forked, so that the checks do not move the caller's random state
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.create_model(size).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter), alpha=0.01)
        return model

    def random_images(self, batch_size: int, size: tuple[int, int] | None = None) -> Tensor:
        """Return random images, shape (batch, channels, height, width), float32; the same ones at every call."""
        height, width = size or self.img_size
        return torch.randn(batch_size, self.channels, height, width, generator=torch.Generator().manual_seed(7))


ContractCheck = Callable[[BackboneUnderTest], str]
"""Returns a sentence if the contract is satisfied; otherwise raises ``ContractViolation`` or ``CheckSkipped``."""


def make_backbone_under_test(name: str | BackboneCard, img_size: int | None = None) -> BackboneUnderTest:
    """Prepare a backbone for the suite.

    Args:
        name: registry name, ``timm/<name>``, or a card.
        img_size: input side in pixels; the card's when not given.

    Raises:
        UserError: the backbone cannot be created, or several files may be meant by its card.
    """
    card = get_card(name) if isinstance(name, str) else name

    def make_for_task(size: tuple[int, int], **arguments: Any) -> nn.Module:
        return create_backbone(card, img_size=size, checkpoint="random", **arguments).model

    def make(size: tuple[int, int]) -> nn.Module:
        return make_for_task(size, num_classes=NUM_TEST_CLASSES)

    def load_for_task(size: tuple[int, int], **arguments: Any) -> nn.Module:
        return create_backbone(card, img_size=size, **arguments).model

    has_weights = card.weights is not None and find_card_weights(card).file is not None
    size = (img_size, img_size) if img_size else (card.input_size[1], card.input_size[2])
    subject = BackboneUnderTest(make, size, card.input_size[0], make_for_task, load_for_task if has_weights else None)
    subject.model  # noqa: B018 - created here, so that a failure is raised once and not in every check
    return subject
