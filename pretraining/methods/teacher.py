"""The frozen teacher of a distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import InitialWeights, locate_weights
from foundation.errors import UserError
from foundation.files import sha256_unchanged_file
from pretraining.models.stacked_linear import pack_linear_layers


class TeacherWeights(NamedTuple):
    """A teacher as named: its card, where its weights are, and their SHA-256."""

    card: BackboneCard
    start: InitialWeights
    sha256: str

    def identity_dict(self) -> dict[str, Any]:
        """What of it can change a number."""
        return {"card": self.card.identity_dict(), "sha256": self.sha256}


def locate_teacher(name: str, checkpoint: str | None) -> TeacherWeights:
    """The teacher's weight file.

    Args:
        name: registry name or ``timm/<name>``.
        checkpoint: a file or a pre-training run, over the card's weights.

    Raises:
        UserError: it has no weights, or they are not here.
    """
    card = get_card(name)
    start = locate_weights(card, checkpoint)
    if start.file is None:
        raise UserError(
            f"the teacher {name} has no weights, and a random teacher teaches nothing; name a file or a pre-training "
            "run with --teacher-checkpoint, or another teacher"
        )
    return TeacherWeights(card, start, sha256_unchanged_file(start.file))


class Teacher:
    """A frozen encoder that is in no checkpoint of the student and gets no gradient.

    For that it is not an ``nn.Module``: as an attribute of a method it is no part of the method's module tree.

    Args:
        weights: the teacher.
        img_size: side of the student's input, pixels.
        mean, std: of the student's input; images are brought to the teacher's own.
        arguments: passed to timm's ``create_model``.

    Raises:
        UserError: made for another input size, or its weights do not fit.
    """

    def __init__(
        self,
        weights: TeacherWeights,
        img_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        arguments: Mapping[str, Any],
    ) -> None:
        card = weights.card
        self.name = card.name
        if tuple(card.input_size[1:]) != (img_size, img_size):
            height, width = card.input_size[1:]
            raise UserError(
                f"the teacher {card.name} is made for {height} x {width} px and the student's input is "
                f"{img_size} x {img_size}; set img_size={height}, or take a teacher for {img_size} px"
            )
        made = create_backbone(card, checkpoint=str(weights.start.file), img_size=img_size, num_classes=0, **arguments)
        if made.load_report is not None and made.load_report.resized:
            raise UserError(
                f"the weights of the teacher {card.name} were made at another input or patch size "
                f"({made.load_report.resized[0]}); a teacher is used as it is: take one for {img_size} px"
            )
        self.model: nn.Module = made.model.eval().requires_grad_(False)
        ratio = [own / other for own, other in zip(std, card.std, strict=True)]
        offset = [(own - other) / each for own, other, each in zip(mean, card.mean, card.std, strict=True)]
        self._std_ratio, self._mean_offset = (torch.tensor(value).reshape(3, 1, 1) for value in (ratio, offset))
        self._packed = False
        self._same_normalization = tuple(mean) == tuple(card.mean) and tuple(std) == tuple(card.std)

    def move_model_to(self, device: torch.device) -> nn.Module:
        """The model on a device; moved once, and packed for a CPU."""
        if next(self.model.parameters()).device != device:
            self.model.to(device)
            self._std_ratio, self._mean_offset = self._std_ratio.to(device), self._mean_offset.to(device)
        if device.type == "cpu" and not self._packed:
            pack_linear_layers(self.model)
            self._packed = True
        return self.model

    def renormalize_images(self, images: Tensor) -> Tensor:
        """The student's normalised images, normalised as the teacher's are."""
        self.move_model_to(images.device)
        return images if self._same_normalization else images * self._std_ratio + self._mean_offset
