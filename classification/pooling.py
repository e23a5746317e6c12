"""Choose how the features of a frozen backbone are pooled: as the protocol says, or as the backbone can. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from backbones.pooling import MEAN_NORM_REASON, PoolingType, has_class_token, make_pooling_error, norms_pooled_mean
from backbones.refusals import PoolingError
from engine.task import RunRequest


class PoolingChoice(NamedTuple):
    """A pooling, and why it is not that of the protocol's file; ``None`` if it is."""

    pool: PoolingType
    reason: str | None

    def describe(self, name: str, in_file: str) -> tuple[str, ...]:
        """Return a sentence about a pooling that is not the protocol's.

        Args:
            name: the backbone's name.
            in_file: the pooling of the protocol's file.
        """
        if self.reason is None:
            return ()
        return (f"{name} is pooled by {self.pool}, not by {in_file} as the protocol says: {self.reason}",)


def choose_pooling(request: RunRequest, wanted: PoolingType, arguments: Mapping[str, Any]) -> PoolingChoice:
    """Return the pooling of a protocol on frozen features for a backbone.

    The pooling of the protocol's file gives way to the backbone's: without a class token, or with weights that norm
    the mean of the patch tokens, features are pooled by ``avg``. One that the user set does not.

    Args:
        request: gives the backbone, its start weights and what the user set.
        wanted: the pooling of the recipe.
        arguments: the other arguments with which the backbone is created.

    Raises:
        PoolingError: the user set a pooling that the backbone cannot do.
    """
    reason = _find_obstacle(request, arguments) if wanted == "token" else None
    if reason is None:
        return PoolingChoice(wanted, None)
    if any(text.partition("=")[0].strip() == "pool" for text in request.overrides):
        raise make_pooling_error(request.card.name, wanted, reason)
    return PoolingChoice("avg", reason)


def _find_obstacle(request: RunRequest, arguments: Mapping[str, Any]) -> str | None:
    """Return why the class token cannot be the features, or ``None`` if it can."""
    if norms_pooled_mean(request.card, request.start):
        return MEAN_NORM_REASON
    stated = has_class_token(request.card)
    if stated is None:
        try:
            stated = request.describe_model({**arguments, "global_pool": "token"}).class_tokens > 0
        except PoolingError as error:
            return error.reason
    return None if stated else "it has no class token"
