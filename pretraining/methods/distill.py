"""What a student is matched with in its teacher, and the losses of the match."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from foundation.errors import UserError


def align(layers: list[int], targets: list[int], student: int, teacher: int, lowest: int) -> list[tuple[int, int]]:
    """Layers of the student with those of the teacher.

    Args:
        layers: the student's; empty: its last.
        targets: the teacher's, one each; empty: ``round(layer * teacher / student)``, halves up, so that the last
            goes with the last and equal depths are matched one to one.
        student, teacher: depths.
        lowest: the smallest number there is: 1 for layers, 0 for states.

    Raises:
        UserError: a layer that is not there.

    >>> align([12, 6], [], 12, 24, 1)
    [(12, 24), (6, 12)]
    """
    chosen = layers or [student]
    goals = targets or [max(lowest, (2 * layer * teacher + student) // (2 * student)) for layer in chosen]
    for name, numbers, depth in (("student", chosen, student), ("teacher", goals, teacher)):
        odd = [number for number in numbers if not lowest <= number <= depth]
        if odd:
            raise UserError(f"layer {odd[0]} of the {name} is not there; it has {lowest} to {depth}")
    if len(set(chosen)) < len(chosen):
        raise UserError(f"a layer of the student is named twice in {chosen}; name each once")
    return list(zip(chosen, goals, strict=True))


class LogitsAdapter(nn.Module):
    """A 1x1 convolution over heads without bias, and the mean squared error to the teacher's attention logits."""

    def __init__(self, heads: int, targets: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(heads, targets, 1, bias=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss, a mean over all elements.

        Args:
            logits: the student's, before the softmax, (N, heads, T, T).
            target: the teacher's, (N, targets, T, T).
        """
        weight = self.mix.weight.flatten(1)
        adapted = (weight @ logits.flatten(2)).view(len(logits), -1, *logits.shape[2:])
        return F.mse_loss(adapted.float(), target.float())


class StateAdapter(nn.Module):
    """A linear map without bias, and the mean squared error to the teacher's hidden states."""

    def __init__(self, width: int, target: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, target, bias=False)

    def forward(self, states: Tensor, target: Tensor) -> Tensor:
        """The loss, a mean over all elements of (N, T, C)."""
        return F.mse_loss(self.map(states).float(), target.float())
