"""A backbone under test, and what a check of it may answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.features import reductions, size_multiple
from backbones.registry import get_card

CLASSES = 10
"""The classes a backbone under test is made with."""


class Broken(Exception):  # noqa: N818 - says what the backbone is
    """A backbone breaks the contract; the message says how."""


class NotTried(Exception):  # noqa: N818 - no error of the backbone
    """A check could not be made; the message says why."""


@dataclass
class Subject:
    """A backbone under test.

    Attributes:
        make: makes it anew, with random weights and ``CLASSES`` classes, for a height and width in pixels.
        size: the height and width it is made for.
        channels: of its images.
    """

    make: Callable[[tuple[int, int]], nn.Module]
    size: tuple[int, int]
    channels: int = 3

    @cached_property
    def model(self) -> nn.Module:
        """The model most checks share; none may change it."""
        return self.fresh(self.size, seed=0)

    @cached_property
    def step(self) -> tuple[int, int]:
        """By how much a side may change: the patch of a plain ViT, the coarsest stage of a hierarchy."""
        patch = size_multiple(self.model)
        coarsest = max(reductions(self.model))
        return (max(patch[0], coarsest), max(patch[1], coarsest))

    def fresh(self, size: tuple[int, int], seed: int) -> nn.Module:
        """A model in eval mode, its weights moved off their start by a little.

        Gates that start at zero (LayerScale, the last norm of a residual branch, a zeroed classifier) would hide
        everything behind them from the checks.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.make(size).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter), alpha=0.01)
        return model

    def images(self, number: int, size: tuple[int, int] | None = None) -> Tensor:
        """Random images (number, channels, height, width), the same at every call."""
        height, width = size or self.size
        return torch.randn(number, self.channels, height, width, generator=torch.Generator().manual_seed(7))


Check = Callable[[Subject], str]
"""Gives a sentence when the contract is kept; raises ``Broken`` or ``NotTried``."""


def subject_of(name: str | BackboneCard, img_size: int | None = None) -> Subject:
    """A registered backbone as the suite takes it.

    Raises:
        UserError: it cannot be made.
    """
    card = get_card(name) if isinstance(name, str) else name

    def make(size: tuple[int, int]) -> nn.Module:
        return create_backbone(card, img_size=size, checkpoint="random", num_classes=CLASSES).model

    size = (img_size, img_size) if img_size else (card.input_size[1], card.input_size[2])
    subject = Subject(make, size, card.input_size[0])
    subject.model  # noqa: B018 - made here, so that it raises here and not in every check
    return subject
