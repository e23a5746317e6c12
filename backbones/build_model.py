"""Build the timm model of a card, with random weights and the arguments that its factory takes.

timm's factories take any keyword and hand it on, so whether one is followed shows only when the model is built. What a
run asks for is either followed or refused in one sentence; nothing that was asked for is left out.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from backbones.card import DISTILLATION_HEAD, BackboneCard
from backbones.distillation_head import add_distillation_head
from backbones.features import (
    count_class_tokens,
    get_own_pooling,
    has_drop_path,
    is_plain_backbone,
    require_input_size,
)
from backbones.pooling import make_pooling_error
from foundation.display_text import shorten_value
from foundation.errors import UserError

_FILE_ARGUMENTS = {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"}
"""Arguments of timm's ``create_model`` that do not belong to the architecture."""

_REFUSALS = (AssertionError, RuntimeError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What the code of an architecture raises for an argument or an input that it cannot take."""


def build_model(card: BackboneCard, img_size: tuple[int, int], model_kwargs: Mapping[str, Any]) -> nn.Module:
    """Build the model of a card.

    Args:
        card: the backbone's card, not that of a module from memory.
        img_size: height and width of the input, pixels.
        model_kwargs: what the run asks for, over the card's arguments; ``distillation_head`` adds a second classifier.

    Raises:
        PoolingError: the architecture cannot be pooled as asked.
        UserError: the architecture refuses or ignores another argument, or does not take the size.
    """
    if card.module:
        importlib.import_module(card.module)
    height, width = img_size
    side = height if height == width else img_size
    has_second_head = bool(model_kwargs.get(DISTILLATION_HEAD))
    model_kwargs = {name: value for name, value in model_kwargs.items() if name != DISTILLATION_HEAD}
    _require_own_arguments(card, {**card.arguments, **model_kwargs})
    settings = {"dynamic_img_size": True, **card.arguments, **model_kwargs, "img_size": side}
    optional = {"img_size", "dynamic_img_size"} - {*card.arguments, *model_kwargs}
    if not settings.get("drop_path_rate"):
        optional.add("drop_path_rate")  # what is off need not be there
    try:
        model = _create_timm_model(card.architecture, settings, optional)
    except torch.OutOfMemoryError:
        raise
    except _REFUSALS as error:
        model = _explain_refusal(card, img_size, settings, optional, error)
    _require_followed(card, model, settings)
    if has_second_head:
        add_distillation_head(card.name, model)
    require_input_size(model, height, width)
    if tuple(img_size) != tuple(card.input_size[1:]):
        _require_working_size(card, model, img_size, settings)
    return model


def _require_own_arguments(card: BackboneCard, arguments: Mapping[str, Any]) -> None:
    """Require that a card and a record only say what a model is, and not from which files or servers it is filled.

    Both may come from elsewhere: a card from a pack or the hub, the arguments from a foreign record.

    Raises:
        UserError: they say it.
    """
    if taken := sorted(_FILE_ARGUMENTS & arguments.keys()):
        raise UserError(
            f"backbone {card.name} sets {', '.join(taken)} of timm's create_model, which reads files or the network; "
            "remove it from the card, and give weights with --checkpoint"
        )
    if ":" in card.architecture:
        raise UserError(
            f"backbone {card.name} has the architecture {shorten_value(card.architecture)}, which is a place and no "
            "model of timm; name the model"
        )


def _create_timm_model(architecture: str, settings: Mapping[str, Any], optional: set[str]) -> nn.Module:
    """timm's ``create_model``, without those optional settings that the architecture refuses by name."""
    while True:
        try:
            model: nn.Module = timm.create_model(architecture, pretrained=False, **settings)
        except TypeError as error:
            refused = {name for name in optional & set(settings) if f"'{name}'" in str(error)}
            if not refused:
                raise
            settings = {name: value for name, value in settings.items() if name not in refused}
        else:
            return model


def _explain_refusal(
    card: BackboneCard, img_size: tuple[int, int], settings: Mapping[str, Any], optional: set[str], error: Exception
) -> nn.Module:
    """Find the argument without which the model can be built, and refuse it in the words of a protocol.

    Returns:
        A plain ViT without a classifier whose own head cannot pool as asked: ``extract_pooled`` does it.

    Raises:
        PoolingError: it is the pooling.
        UserError: it is another argument, or none alone.
    """
    reason = _first_line(error)
    for name in ("drop_path_rate", "global_pool"):
        if name not in settings:
            continue
        rest = {key: value for key, value in settings.items() if key != name}
        try:
            model = _create_timm_model(card.architecture, rest, optional)
        except _REFUSALS:
            continue
        if name == "drop_path_rate":
            raise _make_drop_path_error(card, settings[name], "its architecture does not take a rate") from error
        pool = settings[name]
        if pool == "avg" and settings.get("num_classes") == 0 and is_plain_backbone(model):
            return model
        raise make_pooling_error(card.name, pool, f"its architecture says {reason.rstrip('.')!r}") from error
    height, width = img_size
    own = {**settings, "img_size": card.input_size[1:]}
    if tuple(img_size) != tuple(card.input_size[1:]) and "img_size" in optional:
        # a model of another size may say in a sentence which ones it takes
        with contextlib.suppress(*_REFUSALS):
            require_input_size(_create_timm_model(card.architecture, own, optional), height, width)
    raise UserError(f"backbone {card.name} cannot be made at {height} x {width} px: {reason}") from error


def _require_followed(card: BackboneCard, model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Require that the architecture has not swallowed an argument without following it.

    Raises:
        PoolingError, UserError: it has.
    """
    rate = float(settings.get("drop_path_rate") or 0)
    drops = has_drop_path(model)
    if rate > 0 and not drops:
        raise _make_drop_path_error(card, rate, "its architecture takes the rate and ignores it")
    if "drop_path_rate" in settings and rate == 0 and drops:
        raise UserError(
            f"backbone {card.name} has stochastic depth of its own, although drop_path is 0; let its architecture "
            "follow the argument drop_path_rate"
        )
    classes, made = settings.get("num_classes"), getattr(model, "num_classes", None)
    if classes is not None and made is not None and made != classes:
        raise UserError(
            f"backbone {card.name} has {made} classes although {classes} were asked for; let its architecture follow "
            "the argument num_classes"
        )
    pool, own = settings.get("global_pool"), get_own_pooling(model)
    # a plain ViT without a classifier is pooled by extract_pooled, whatever its own head would do
    own_matters = settings.get("num_classes") != 0 or count_class_tokens(model) == 0
    if pool in ("avg", "token") and own in ("avg", "token") and own != pool and own_matters:
        raise make_pooling_error(card.name, pool, f"its architecture ignores global_pool and pools by {own}")


def _make_drop_path_error(card: BackboneCard, rate: float, reason: str) -> UserError:
    return UserError(
        f"backbone {card.name} has no stochastic depth and the protocol asks for drop_path {rate:g} ({reason}); "
        "add --set drop_path=0"
    )


def _require_working_size(
    card: BackboneCard, model: nn.Module, img_size: tuple[int, int], settings: Mapping[str, Any]
) -> None:
    """Require that the model takes an image of the size.

    Raises:
        UserError: it fails on one.
    """
    channels = int(settings.get("in_chans") or card.input_size[0])
    # shapes decide, so the meta device, which computes nothing, is enough
    twin = copy.deepcopy(model).to("meta").eval()
    if _try_forward(twin, torch.zeros(1, channels, *img_size, device="meta")) is None:
        return
    # an architecture that reads values on the way fails there for another reason
    model.eval()
    error = _try_forward(model, torch.zeros(1, channels, *img_size))
    model.train()
    if error is not None:
        height, width = img_size
        own = " x ".join(str(side) for side in card.input_size[1:])
        raise UserError(
            f"backbone {card.name} is made for {own} px and fails on {height} x {width} ({_first_line(error)}); choose "
            "a task or a setting (img_size, crop) of its own size"
        ) from error


def _try_forward(model: Any, images: torch.Tensor) -> Exception | None:
    """Return why the model fails on images, ``None`` if it does not; dense tasks use the features alone."""
    forward = model if getattr(model, "num_classes", 0) else getattr(model, "forward_features", model)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            forward(images)
    except torch.OutOfMemoryError:
        raise
    except _REFUSALS as error:
        return error
    return None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
