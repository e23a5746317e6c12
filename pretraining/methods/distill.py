"""What a student is matched with in its teacher, and the losses of the match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from foundation.errors import UserError


def pair_layers(
    student_layers: list[int], teacher_layers: list[int], student_depth: int, teacher_depth: int, min_layer: int
) -> list[tuple[int, int]]:
    """Layers of the student with those of the teacher.

    Args:
        student_layers: the student's; empty: its last.
        teacher_layers: the teacher's, one each; empty: ``round(layer * teacher_depth / student_depth)``, halves up, so
            that the last goes with the last and equal depths are matched one to one.
        student_depth, teacher_depth: depths.
        min_layer: the smallest number there is: 1 for layers, 0 for states.

    Raises:
        UserError: a layer that is not there.

    >>> pair_layers([12, 6], [], 12, 24, 1)
    [(12, 24), (6, 12)]
    """
    chosen = student_layers or [student_depth]
    goals = teacher_layers or [
        max(min_layer, (2 * layer * teacher_depth + student_depth) // (2 * student_depth)) for layer in chosen
    ]
    for name, numbers, depth in (("student", chosen, student_depth), ("teacher", goals, teacher_depth)):
        odd = [number for number in numbers if not min_layer <= number <= depth]
        if odd:
            raise UserError(f"layer {odd[0]} of the {name} is not there; it has {min_layer} to {depth}")
    if len(set(chosen)) < len(chosen):
        raise UserError(f"a layer of the student is named twice in {chosen}; name each once")
    return list(zip(chosen, goals, strict=True))


def mean_adapter_loss(
    adapters: nn.ModuleList,
    layer_pairs: Sequence[tuple[int, int]],
    student_outputs: Mapping[int, Tensor],
    teacher_outputs: Mapping[int, Tensor],
) -> Tensor:
    """The mean of the adapters' losses.

    Args:
        adapters: one each pair.
        layer_pairs: layer of the student, layer of the teacher.
        student_outputs, teacher_outputs: what is compared, by layer.
    """
    pairs = zip(adapters, layer_pairs, strict=True)
    return torch.stack(
        [adapter(student_outputs[own], teacher_outputs[other]) for adapter, (own, other) in pairs]
    ).mean()


class LogitsAdapter(nn.Module):
    """A 1x1 convolution over heads without bias, and the mean squared error to the teacher's attention logits."""

    def __init__(self, student_heads: int, teacher_heads: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(student_heads, teacher_heads, 1, bias=False)

    def forward(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """The loss, a mean over all elements.

        Args:
            logits: the student's, before the softmax, (N, heads, T, T).
            teacher_logits: the teacher's, (N, targets, T, T).
        """
        weight = self.proj.weight.flatten(1)
        adapted = (weight @ logits.flatten(2)).view(len(logits), -1, *logits.shape[2:])
        return F.mse_loss(adapted.float(), teacher_logits.float())


class HiddenStateAdapter(nn.Module):
    """A linear map without bias, and the mean squared error to the teacher's hidden states."""

    def __init__(self, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(student_dim, teacher_dim, bias=False)

    def forward(self, states: Tensor, teacher_states: Tensor) -> Tensor:
        """The loss, a mean over all elements of (N, T, C)."""
        return F.mse_loss(self.proj(states).float(), teacher_states.float())
