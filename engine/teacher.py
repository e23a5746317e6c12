"""The frozen teacher of a distillation: where its weights are, and what any student needs of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.checkpoints.read_checkpoint import find_identity_key
from backbones.color_input import require_color_input
from backbones.model_digest import identify_plugin_code
from backbones.registry import get_card
from backbones.weights import InitialWeights, hash_weight_file, locate_weights
from foundation.errors import CheckpointError, UserError


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
    try:
        start = locate_weights(card, checkpoint)
    except CheckpointError as error:
        if checkpoint is not None and Path(checkpoint).expanduser().exists():
            raise CheckpointError(f"the teacher {name}: {error}") from error
        if checkpoint is not None:
            # the sentence for a student ends with how to train from random weights, which no teacher may have
            reason = re.split(r"; fix the path \(", str(error))[0]
            raise CheckpointError(f"the teacher {name}: {reason}; fix --teacher-checkpoint") from error
        # the advice that follows the reason is for a backbone, which may start from random weights
        reason = re.split(r"; |, or give it with ", str(error))[0]
        raise CheckpointError(
            f"the teacher {name} has no weights here: {reason}; fetch them (bench get weights {name}), or name a file "
            "with --teacher-checkpoint"
        ) from error
    if start.file is None:
        raise UserError(
            f"the teacher {name} has no weights, and a student cannot learn from a random teacher; name a file or a "
            "run with --teacher-checkpoint, or another teacher"
        )
    return TeacherWeights(card, start, hash_weight_file(start.file), find_identity_key(start.file))


def require_teacher_size(name: str, made_for: tuple[int, ...], img_size: int) -> None:
    """Require that a teacher is made for the images that its student gets, because both see the same pixels.

    Args:
        name: name of the teacher, for the message.
        made_for: height and width of the teacher's input, pixels.
        img_size: side of the student's input, pixels.

    Raises:
        UserError: it is made for another size.
    """
    if tuple(made_for) != (img_size, img_size):
        height, width = made_for
        raise UserError(
            f"the teacher {name} is made for {height} x {width} px and the student's input is "
            f"{img_size} x {img_size}; set img_size={height}, or choose a teacher for {img_size} px"
        )


class FrozenTeacher:
    """A frozen network that gets no gradient and is not stored in the student's checkpoints.

    It is therefore not an ``nn.Module``: as an attribute of a student it is not part of the student's module tree, so
    ``train()`` does not reach it, and no optimizer, checkpoint or exchange between processes knows its weights.

    Args:
        model: the network; it is frozen and set to evaluation in place.
        mean, std: normalization of the student's input, per channel.
        own_mean, own_std: normalization that the teacher was trained with; images are converted to it.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        own_mean: Sequence[float],
        own_std: Sequence[float],
    ) -> None:
        # eval: no drop path and no updates of running statistics
        self.model = model.eval().requires_grad_(False)
        # student's normalization: x = (p - m) / s; teacher's: (p - m') / s' = x * (s / s') + (m - m') / s'
        ratio = [student / own for student, own in zip(std, own_std, strict=True)]
        offset = [(student - own) / each for student, own, each in zip(mean, own_mean, own_std, strict=True)]
        self._std_ratio, self._mean_offset = (torch.tensor(value).reshape(3, 1, 1) for value in (ratio, offset))
        self._same_normalization = tuple(mean) == tuple(own_mean) and tuple(std) == tuple(own_std)

    def move_model_to(self, device: torch.device) -> nn.Module:
        """Move the model to a device at the first call and return it."""
        if next(self.model.parameters()).device != device:
            self.model.to(device)
            self._std_ratio, self._mean_offset = self._std_ratio.to(device), self._mean_offset.to(device)
        return self.model

    def renormalize_images(self, images: Tensor) -> Tensor:
        """Convert images from the student's normalization to the teacher's.

        Args:
            images: (N, 3, S, S), normalized for the student.
        """
        self.move_model_to(images.device)
        # unchanged if the normalizations are equal, so that no rounding error is added
        return images if self._same_normalization else images * self._std_ratio + self._mean_offset
