"""What of a backbone can be pooled in which way. Imports no torch, except to look at a model of timm's."""

from __future__ import annotations

from typing import Literal

from backbones.card import BackboneCard
from backbones.cards.common import ARCHITECTURES_MODULE
from backbones.refusals import PoolingError
from backbones.weights import MEMORY_ARCHITECTURE

PoolingType = Literal["avg", "token"]

FC_NORM_POOLS = ("avg", "avgmax", "max")
"""Poolings for which timm's transformers norm the pooled features (``fc_norm``) instead of the tokens (``norm``)."""


MEAN_NORM_REASON = "its weights norm the mean of the patch tokens (fc_norm) and have no norm for a class token"


def make_pooling_error(name: str, pool: str, reason: str) -> PoolingError:
    """Return the refusal of a pooling, in one sentence that says what to set instead.

    Args:
        name: the backbone's name.
        pool: what was asked for.
        reason: why the backbone cannot be pooled so, as a part of a sentence.
    """
    other = "avg" if pool == "token" else "token"
    return PoolingError(f"backbone {name} cannot be pooled by {pool}: {reason}; set pool={other}", reason)


def norms_pooled_mean(card: BackboneCard) -> bool:
    """Return whether the card's weights norm the mean of the patch tokens, and so have no norm for a class token.

    Such weights were fine-tuned with a classifier on the mean.
    """
    return card.arguments.get("global_pool") in FC_NORM_POOLS


def has_class_token(card: BackboneCard) -> bool | None:
    """Return whether a card says that the backbone has a class token; ``None`` if only the built model tells.

    Cards of bench's own and of modules from memory state their tokens. For a model of timm's, its configuration names
    the grid that a hierarchical network pools; it has none for a plain ViT.
    """
    if card.prefix_tokens == 0:
        return False
    if card.module == ARCHITECTURES_MODULE or card.architecture == MEMORY_ARCHITECTURE:
        return True
    import timm

    config = timm.get_pretrained_cfg(card.architecture, allow_unregistered=True)
    return False if config is not None and getattr(config, "pool_size", None) is not None else None
