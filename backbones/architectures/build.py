"""Build the models of this package with timm's own builder."""

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
    """Build a variant with timm's builder, so that ``features_only`` and other features of timm work on it.

    The weights are random; ``backbones.create.create_backbone`` loads pre-trained ones afterwards.

    Args:
        model_class: a timm model class, or a subclass of one.
        variant: the name that the variant is registered under.
        defaults: the variant's arguments for ``model_class``; ``img_size`` is required.
        overrides: the arguments that ``timm.create_model`` was called with; they take precedence over ``defaults``.
        classifier: name of the classification layer.
        feature_cfg: timm's ``feature_cfg``: which feature maps ``features_only`` returns, and how it extracts them.
        filter_fn: timm's function that converts other projects' checkpoints to this class.

    Returns:
        The model, with random weights.

    Raises:
        UserError: the caller passed ``pretrained=True``. timm knows no weights for our names and would silently return
            random ones.
    """
    if overrides.pop("pretrained", False):
        raise UserError(
            f"timm knows no weights for {variant}; they are loaded by backbones.create.create_backbone, with a report"
        )
    settings = {**defaults, **overrides}
    side = defaults["img_size"]
    # the entries of timm's pretrained_cfg that timm and our loader read: the classifier's name tells which tensors are
    # not part of the trunk
    config = settings.pop("pretrained_cfg", None) or {
        "architecture": variant,
        "classifier": classifier,
        "first_conv": "patch_embed.proj",
        "input_size": (3, side, side),
    }
    # timm's builder writes into feature_cfg, so it gets a copy
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
