"""The teacher of a pre-training: a frozen encoder of the student's input size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from backbones.create import create_backbone
from engine.teacher import FrozenTeacher, TeacherWeights, require_teacher_size
from foundation.errors import CheckpointError, UserError
from pretraining.models.stacked_linear import pack_linear_layers


class Teacher(FrozenTeacher):
    """A frozen encoder; a student matches what it computes inside.

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
        require_teacher_size(card.name, card.input_size[1:], img_size)
        try:
            made = create_backbone(
                card, checkpoint=str(weights.start.file), img_size=img_size, num_classes=0, **arguments
            )
        except CheckpointError as error:  # it speaks of a backbone, of which the command has two
            raise CheckpointError(f"the teacher {card.name}: {error}") from error
        if made.load_report is not None and made.load_report.resized:
            raise UserError(
                f"the weights of the teacher {card.name} were made at another input or patch size "
                f"({made.load_report.resized[0]}); a teacher's weights are not resized: choose one for {img_size} px"
            )
        # SimMIM's teacher sees masked images, so it needs the mask token that was trained with it
        tokens = made.weight_file.tensors if made.weight_file is not None else {}
        self.mask_token: Tensor | None = tokens.get("mask_token")
        super().__init__(made.model, mean, std, card.mean, card.std)
        self._packed = False

    def move_model_to(self, device: torch.device) -> nn.Module:
        """Move the model to a device at the first call and return it; on a CPU its linear layers are packed."""
        model = super().move_model_to(device)
        if device.type == "cpu" and not self._packed:
            pack_linear_layers(model)
            self._packed = True
        return model
