"""The frozen teacher of a distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.checkpoints.read_checkpoint import find_identity_key
from backbones.color_input import require_color_input
from backbones.create import create_backbone
from backbones.model_digest import identify_plugin_code
from backbones.registry import get_card
from backbones.weights import InitialWeights, hash_weight_file, locate_weights
from foundation.errors import UserError
from pretraining.models.stacked_linear import pack_linear_layers


class TeacherWeights(NamedTuple):
    """The weights of a teacher.

    Attributes:
        card: the teacher's card.
        start: where its weights are.
        sha256: SHA-256 of the weight file.
        weights_key: which weights of the file, if not its plain ones.
    """

    card: BackboneCard
    start: InitialWeights
    sha256: str
    weights_key: str | None = None

    def identity_dict(self) -> dict[str, Any]:
        """Return the part that can change a result, as plain data."""
        code = identify_plugin_code(self.card, {"num_classes": 0})
        key = {"weights_key": self.weights_key} if self.weights_key is not None else {}
        return {"card": self.card.identity_dict(), "sha256": self.sha256, **key, **code}


def locate_teacher(name: str, checkpoint: str | None) -> TeacherWeights:
    """Locate the weight file of a teacher.

    Args:
        name: registry name or ``timm/<name>``.
        checkpoint: a file or a pre-training run to use instead of the card's weights; ``None`` for the card's.

    Raises:
        UserError: the teacher has no weights, or they are not on this machine.
    """
    card = get_card(name)
    require_color_input(card)
    start = locate_weights(card, checkpoint)
    if start.file is None:
        raise UserError(
            f"the teacher {name} has no weights, and a student cannot learn from a random teacher; name a file or a "
            "pre-training run with --teacher-checkpoint, or another teacher"
        )
    return TeacherWeights(card, start, hash_weight_file(start.file), find_identity_key(start.file))


class Teacher:
    """A frozen encoder that gets no gradient and is not stored in the student's checkpoints.

    It is therefore not an ``nn.Module``: as an attribute of a method it is not part of the method's module tree.

    Args:
        weights: the teacher's weights.
        img_size: side of the student's input, pixels.
        mean, std: normalization of the student's input, per channel; images are converted to the teacher's.
        arguments: passed to timm's ``create_model``.

    Raises:
        UserError: the teacher is made for another input size, or its weights do not fit.
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
                f"{img_size} x {img_size}; set img_size={height}, or choose a teacher for {img_size} px"
            )
        made = create_backbone(card, checkpoint=str(weights.start.file), img_size=img_size, num_classes=0, **arguments)
        if made.load_report is not None and made.load_report.resized:
            raise UserError(
                f"the weights of the teacher {card.name} were made at another input or patch size "
                f"({made.load_report.resized[0]}); a teacher's weights are not resized: choose one for {img_size} px"
            )
        # SimMIM's teacher sees masked images, so it needs the mask token that was trained with it
        tokens = made.weight_file.tensors if made.weight_file is not None else {}
        self.mask_token: Tensor | None = tokens.get("mask_token")
        # eval: no drop path and no updates of running statistics
        self.model: nn.Module = made.model.eval().requires_grad_(False)
        # own normalization: x = (p - m) / s; teacher's: (p - m') / s' = x * (s / s') + (m - m') / s'
        ratio = [own / other for own, other in zip(std, card.std, strict=True)]
        offset = [(own - other) / each for own, other, each in zip(mean, card.mean, card.std, strict=True)]
        self._std_ratio, self._mean_offset = (torch.tensor(value).reshape(3, 1, 1) for value in (ratio, offset))
        self._packed = False
        self._same_normalization = tuple(mean) == tuple(card.mean) and tuple(std) == tuple(card.std)

    def move_model_to(self, device: torch.device) -> nn.Module:
        """Move the model to a device at the first call and return it; on a CPU its linear layers are packed."""
        if next(self.model.parameters()).device != device:
            self.model.to(device)
            self._std_ratio, self._mean_offset = self._std_ratio.to(device), self._mean_offset.to(device)
        if device.type == "cpu" and not self._packed:
            pack_linear_layers(self.model)
            self._packed = True
        return self.model

    def renormalize_images(self, images: Tensor) -> Tensor:
        """Convert images from the student's normalization to the teacher's.

        Args:
            images: (N, 3, S, S), normalized for the student.
        """
        self.move_model_to(images.device)
        # unchanged if the normalizations are equal, so that no rounding error is added
        return images if self._same_normalization else images * self._std_ratio + self._mean_offset
