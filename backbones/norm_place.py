"""Create a backbone with a place for the norm that its weights have. Imports torch only where it must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbones.card import BackboneCard
from backbones.model_digest import describe_model
from backbones.pooling import norms_pooled_mean
from backbones.weights import InitialWeights

if TYPE_CHECKING:
    from torch import nn


def place_pooled_norm(card: BackboneCard, start: InitialWeights, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a backbone without a classifier, with a place for the norm that its weights have.

    Weights that norm the mean of the patch tokens have ``fc_norm`` in place of ``norm``, and a model that is built to
    norm its tokens could not take them.

    Args:
        card: the backbone's card.
        start: the weights that the run starts from.
        arguments: the arguments with which the backbone would be created; they do not name a pooling.

    Raises:
        PatchSizeError: the architecture refuses the input size.
    """
    if start.module is not None or not norms_pooled_mean(card, start):
        return dict(arguments)

    def build() -> nn.Module:
        from backbones.create import create_backbone

        return create_backbone(card, checkpoint="random", **arguments).model

    # what the architecture does by itself stays as it is, and so does the id of its runs
    has_token_norm = describe_model(card, arguments, build).has_token_norm
    return {**arguments, "global_pool": "avg"} if has_token_norm else dict(arguments)
