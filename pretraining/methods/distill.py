"""Pair the layers of a student with those of its teacher, and compute the losses between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from foundation.errors import UserError


def pair_layers(
    student_layers: list[int], teacher_layers: list[int], student_depth: int, teacher_depth: int, min_layer: int
) -> list[tuple[int, int]]:
    """Pair layers of the student with layers of the teacher.

    Args:
        student_layers: layers of the student; empty for its last layer.
        teacher_layers: layers of the teacher, one per layer of the student; empty for
            ``round(layer * teacher_depth / student_depth)`` with halves rounded up. Then the last layers are paired,
            and equal depths are paired one to one.
        student_depth, teacher_depth: number of blocks.
        min_layer: the smallest valid index: 1 for layers, 0 for hidden states.

    Returns:
        Pairs of (layer of the student, layer of the teacher).

    Raises:
        UserError: a layer does not exist, or a layer of the student is named twice.

    >>> pair_layers([12, 6], [], 12, 24, 1)
    [(12, 24), (6, 12)]
    """
    chosen = student_layers or [student_depth]
    # floor(l * T / S + 1/2) in integers; Python's round would round halves to even
    goals = teacher_layers or [
        max(min_layer, (2 * layer * teacher_depth + student_depth) // (2 * student_depth)) for layer in chosen
    ]
    for name, numbers, depth in (("student", chosen, student_depth), ("teacher", goals, teacher_depth)):
        odd = [number for number in numbers if not min_layer <= number <= depth]
        if odd:
            raise UserError(f"layer {odd[0]} of the {name} does not exist; it has {min_layer} to {depth}")
    if len(set(chosen)) < len(chosen):
        raise UserError(f"a layer of the student is named twice in {chosen}; name each once")
    return list(zip(chosen, goals, strict=True))


def sum_adapter_losses(
    adapters: nn.ModuleList,
    layer_pairs: Sequence[tuple[int, int]],
    student_outputs: Mapping[int, Tensor],
    teacher_outputs: Mapping[int, Tensor],
) -> Tensor:
    """Return the sum of the adapters' losses, as in MAE-Lite's code: two pairs weigh twice as much as one.

    Args:
        adapters: one adapter per pair of layers.
        layer_pairs: pairs of (layer of the student, layer of the teacher).
        student_outputs, teacher_outputs: the tensors to compare, by layer.
    """
    pairs = zip(adapters, layer_pairs, strict=True)
    return torch.stack([adapter(student_outputs[own], teacher_outputs[other]) for adapter, (own, other) in pairs]).sum()


class LogitsAdapter(nn.Module):
    """Mean squared error between attention logits, after a 1x1 convolution over the student's heads (without bias).

    The convolution brings the number of heads of the student to that of the teacher.

    Args:
        student_heads, teacher_heads: number of heads.
    """

    def __init__(self, student_heads: int, teacher_heads: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(student_heads, teacher_heads, 1, bias=False)

    def forward(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Return the loss, a mean over all elements.

        Args:
            logits: of the student, before the softmax, (N, student_heads, T, T).
            teacher_logits: of the teacher, (N, teacher_heads, T, T).
        """
        # the 1x1 convolution as a matrix product: (teacher_heads, student_heads) @ (N, student_heads, T * T)
        weight = self.proj.weight.flatten(1)
        adapted = (weight @ logits.flatten(2)).view(len(logits), -1, *logits.shape[2:])
        return F.mse_loss(adapted.float(), teacher_logits.float())


class HiddenStateAdapter(nn.Module):
    """Mean squared error between hidden states, after a linear map to the teacher's width (without bias).

    Args:
        student_dim, teacher_dim: widths.
    """

    def __init__(self, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(student_dim, teacher_dim, bias=False)

    def forward(self, states: Tensor, teacher_states: Tensor) -> Tensor:
        """Return the loss, a mean over all elements.

        Args:
            states: of the student, (N, T, student_dim).
            teacher_states: of the teacher, (N, T, teacher_dim).
        """
        return F.mse_loss(self.proj(states).float(), teacher_states.float())
