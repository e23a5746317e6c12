"""The one way a model of ours is built: timm's builder, no weights, arguments of the caller over the variant's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from timm.models import build_model_with_cfg
from torch import nn

from foundation.errors import UserError

ModelT = TypeVar("ModelT", bound=nn.Module)


def build_timm_model(
    model_class: Callable[..., ModelT],
    variant: str,
    defaults: Mapping[str, Any],
    overrides: dict[str, Any],
    *,
    classifier: str = "head",
    feature_cfg: Mapping[str, Any],
    filter_fn: Callable[..., Any] | None = None,
) -> ModelT:
    """Build ``variant`` through timm's builder, so that ``features_only`` and the rest of timm work on it.

    Args:
        model_class: a timm model class, or a subclass.
        variant: the name it is registered under.
        defaults: the variant's arguments.
        overrides: what ``timm.create_model`` was called with; wins over ``defaults``.
        classifier: name of the classifying layer.
        feature_cfg: timm's ``feature_cfg``: which features ``features_only`` takes, and how.
        filter_fn: timm's own translation of foreign checkpoints of this class.

    Raises:
        UserError: ``pretrained=True``: timm would answer with random weights, since it knows none for our names.
    """
    if overrides.pop("pretrained", False):
        raise UserError(
            f"timm knows no weights for {variant}; they are loaded by backbones.create.create_backbone, with a report"
        )
    settings = {**defaults, **overrides}
    side = defaults["img_size"]
    config = settings.pop("pretrained_cfg", None) or {
        "architecture": variant,
        "classifier": classifier,
        "first_conv": "patch_embed.proj",
        "input_size": (3, side, side),
    }
    built: ModelT = build_model_with_cfg(
        model_class,
        variant,
        False,
        pretrained_cfg=config,
        pretrained_filter_fn=filter_fn,
        feature_cfg={**feature_cfg, "out_indices": settings.pop("out_indices", feature_cfg["out_indices"])},
        **settings,
    )
    return built
