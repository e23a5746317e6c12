"""A backbone under test, and what a check of it may answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.features import get_reductions, get_size_divisor
from backbones.registry import get_card

NUM_TEST_CLASSES = 10
"""The classes a backbone under test is made with."""


class ContractViolation(Exception):  # noqa: N818 - says what the backbone is
    """A backbone breaks the contract; the message says how."""


class CheckSkipped(Exception):  # noqa: N818 - no error of the backbone
    """A check could not be made; the message says why."""


@dataclass
class BackboneUnderTest:
    """A backbone under test.

    Attributes:
        create_model: makes it anew, with random weights and ``NUM_TEST_CLASSES`` classes, for a height and width in
            pixels.
        img_size: the height and width it is made for.
        channels: of its images.
    """

    create_model: Callable[[tuple[int, int]], nn.Module]
    img_size: tuple[int, int]
    channels: int = 3

    @cached_property
    def model(self) -> nn.Module:
        """The model most checks share; none may change it."""
        return self.create_perturbed(self.img_size, seed=0)

    @cached_property
    def size_step(self) -> tuple[int, int]:
        """By how much a side may change: the patch of a plain ViT, the coarsest stage of a hierarchy."""
        patch = get_size_divisor(self.model)
        coarsest = max(get_reductions(self.model))
        return (max(patch[0], coarsest), max(patch[1], coarsest))

    def create_perturbed(self, size: tuple[int, int], seed: int) -> nn.Module:
        """A model in eval mode, its weights moved off their start by a little.

        Gates that start at zero (LayerScale, the last norm of a residual branch, a zeroed classifier) would hide
        everything behind them from the checks.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.create_model(size).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter), alpha=0.01)
        return model

    def random_images(self, batch_size: int, size: tuple[int, int] | None = None) -> Tensor:
        """Random images (number, channels, height, width), the same at every call."""
        height, width = size or self.img_size
        return torch.randn(batch_size, self.channels, height, width, generator=torch.Generator().manual_seed(7))


ContractCheck = Callable[[BackboneUnderTest], str]
"""Gives a sentence when the contract is kept; raises ``ContractViolation`` or ``CheckSkipped``."""


def make_backbone_under_test(name: str | BackboneCard, img_size: int | None = None) -> BackboneUnderTest:
    """A registered backbone as the suite takes it.

    Raises:
        UserError: it cannot be made.
    """
    card = get_card(name) if isinstance(name, str) else name

    def make(size: tuple[int, int]) -> nn.Module:
        return create_backbone(card, img_size=size, checkpoint="random", num_classes=NUM_TEST_CLASSES).model

    size = (img_size, img_size) if img_size else (card.input_size[1], card.input_size[2])
    subject = BackboneUnderTest(make, size, card.input_size[0])
    subject.model  # noqa: B018 - made here, so that it raises here and not in every check
    return subject
