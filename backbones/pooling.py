"""What of a backbone can be pooled in which way. Imports no torch, except to look at a model of timm's or a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from backbones.card import BackboneCard
from backbones.cards.common import ARCHITECTURES_MODULE
from backbones.refusals import PoolingError
from backbones.weights import MEMORY_ARCHITECTURE, InitialWeights, hash_weight_file

PoolingType = Literal["avg", "token"]

FC_NORM_POOLS = ("avg", "avgmax", "max")
"""Poolings for which timm's transformers norm the pooled features (``fc_norm``) instead of the tokens (``norm``)."""

_ATTENTION_POOL_CLASSIFIER = "head.proj"
"""What timm names as classifier where the features are pooled by attention, whose projection it is."""

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


def norms_pooled_mean(card: BackboneCard, start: InitialWeights) -> bool:
    """Return whether a run's weights norm the mean of the patch tokens, and so have no norm for a class token.

    Such weights were fine-tuned with a classifier on the mean; their file has ``fc_norm`` and no ``norm``.

    Args:
        card: the backbone's card.
        start: the weights that the run starts from.
    """
    if start.init == "card" and card.arguments.get("global_pool") in FC_NORM_POOLS:
        return True
    if start.module is not None:
        norms = (_is_norm(start.module, "fc_norm"), _is_norm(start.module, "norm"))
        return norms == (True, False)
    return start.file is not None and _has_mean_norm_only(start.file, start.weights_key, hash_weight_file(start.file))


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
    from backbones.model_digest import describe_model

    def build() -> Any:
        from backbones.create import create_backbone

        return create_backbone(card, checkpoint="random", **arguments).model

    # what the architecture does by itself stays as it is, and so does the id of its runs
    has_token_norm = describe_model(card, arguments, build).has_token_norm
    return {**arguments, "global_pool": "avg"} if has_token_norm else dict(arguments)


def _is_norm(module: Any, name: str) -> bool:
    return type(getattr(module, name, None)).__name__ not in ("NoneType", "Identity")


@lru_cache(maxsize=64)
def _has_mean_norm_only(path: Path, weights_key: str | None, sha256: str) -> bool:
    """Return whether a weight file has ``fc_norm`` and no ``norm``.

    Args:
        path: the file.
        weights_key: the weights to take from it.
        sha256: of the file, so that one that was replaced is read again.
    """
    from backbones.checkpoints.read_checkpoint import read_weights

    names = set(read_weights(path, weights_key).tensors)
    # what stands before the trunk's names is found only with a model at hand
    prefixes = {name.removesuffix("fc_norm.weight") for name in names if name.endswith("fc_norm.weight")}
    return bool(prefixes) and not any(f"{prefix}norm.weight" in names for prefix in prefixes)


def has_class_token(card: BackboneCard) -> bool | None:
    """Return whether a card says that the backbone has a class token; ``None`` if only the built model tells.

    Cards of bench's own and of modules from memory state their tokens. For a model of timm's, its configuration names
    the grid that a hierarchical network pools; it has none for a plain ViT. The ResNets of CLIP have a grid and pool it
    by attention, with a token of their own.
    """
    if card.prefix_tokens == 0:
        return False
    if card.module == ARCHITECTURES_MODULE or card.architecture == MEMORY_ARCHITECTURE:
        return True
    import timm

    config = timm.get_pretrained_cfg(card.architecture, allow_unregistered=True)
    if config is None or getattr(config, "pool_size", None) is None or config.classifier == _ATTENTION_POOL_CLASSIFIER:
        return None
    return False
