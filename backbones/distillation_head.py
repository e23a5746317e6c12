"""A second classifier behind the class token, which learns from a teacher while the first one learns from the labels.

MAE-Lite's fine-tuning with distillation ("CLS as distill token"): the mean of the patch tokens goes through ``fc_norm``
to ``head``, and the class token, which mean pooling leaves idle, through ``dist_norm`` to ``head_dist``. There is no
token more than in other fine-tuning, so weights of any pre-training fit. A finished model answers with the mean of the
two outputs, as DeiT's do.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from timm.layers import trunc_normal_
from torch import Tensor, nn

from backbones.features import count_class_tokens, get_own_pooling
from foundation.errors import UserError

HEAD_PARTS = ("head_dist", "dist_norm")
"""Names of the modules that are added, as in MAE-Lite's checkpoints."""


class TwoHeadMixin:
    """What a timm model with a second classifier does otherwise."""

    # attributes of the timm model
    forward_features: Any
    forward_head: Any
    head_dist: nn.Module
    dist_norm: nn.Module

    def forward_heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both classifiers, (batch, classes) each: of the mean, and of the class token.

        Args:
            images: normalized images, (batch, 3, height, width).
        """
        tokens = self.forward_features(images)
        # token 0 is the class token; registers, where there are any, follow it
        return self.forward_head(tokens), self.head_dist(self.dist_norm(tokens[:, 0]))

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of the logits of both classifiers, (batch, classes).

        Args:
            images: normalized images, (batch, 3, height, width).
        """
        of_mean, of_token = self.forward_heads(images)
        return (of_mean + of_token) / 2


def add_distillation_head(name: str, model: Any) -> None:
    """Add the second classifier to a model, in place.

    Args:
        name: name of the backbone, for messages.
        model: a timm model that classifies the mean of its patch tokens and has a class token besides.

    Raises:
        UserError: it has no class token that is free, or no linear classifier.
    """
    head = getattr(model, "head", None)
    if count_class_tokens(model) != 1 or get_own_pooling(model) != "avg" or not isinstance(head, nn.Linear):
        raise UserError(
            f"{name} cannot learn from a teacher by its class token: that takes one class token beside the mean of the "
            "patch tokens, which is classified; one classifier learns from both with --set distill.class_token=false"
        )
    # the same kind of norm as in front of the first classifier; Identity where the tokens are normed before pooling
    model.dist_norm = copy.deepcopy(getattr(model, "fc_norm", None) or nn.Identity())
    model.head_dist = nn.Linear(head.in_features, head.out_features)
    # as timm and MAE-Lite draw the first classifier
    trunc_normal_(model.head_dist.weight, std=0.02)
    nn.init.zeros_(model.head_dist.bias)
    # another class, and not another attribute ``forward``: a copy of the model would call that of the original
    kind: Any = type(model)
    model.__class__ = _make_two_head_class(kind)


@cache
def _make_two_head_class(kind: type) -> type:
    return type(f"TwoHead{kind.__name__}", (TwoHeadMixin, kind), {"__module__": kind.__module__})
