"""Make a backbone from its card: a timm model, and a report of what was loaded into it."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import timm
from torch import nn

from backbones.card import BackboneCard
from backbones.checkpoint import WeightFile, read_weights
from backbones.load import LoadReport, load_file
from backbones.registry import get_card
from backbones.weights import Start, locate_weights
from foundation.errors import UserError


class Created(NamedTuple):
    """A backbone as made: the model, its start, and for loaded weights the file and the load report."""

    model: nn.Module
    start: Start
    file: WeightFile | None
    report: LoadReport | None


def create_backbone(
    name: str | BackboneCard,
    *,
    img_size: int | None = None,
    checkpoint: str | None = None,
    allow_partial: bool = False,
    **arguments: Any,
) -> Created:
    """Make a backbone of the registry (or any ``timm/<name>``) as a timm model.

    Args:
        name: registry name, ``timm/<name>``, or a card.
        img_size: input side in pixels; the card's own when not given.
        checkpoint: a weight file, ``"random"``, or nothing: then the card's weights, else random ones.
        allow_partial: accept a checkpoint that fills only part of the trunk.
        arguments: passed to timm's ``create_model`` over the card's (``num_classes``, ``drop_path_rate`` ...).

    Raises:
        UnknownNameError: no such backbone.
        CheckpointError: weights missing, unreadable, or not fitting.

    Example:
        >>> model, start, file, report = create_backbone("vit_nano", num_classes=10)
        >>> start.init
        'random'
    """
    card = name if isinstance(name, BackboneCard) else get_card(name)
    start = locate_weights(card, checkpoint)
    model = _build(card, img_size or card.input_size[-1], arguments)
    if start.file is None:
        return Created(model, start, None, None)
    file = read_weights(start.file)
    heads = card.arguments.get("num_heads") if start.init == "card" else None
    report = load_file(model, file, allow_partial=allow_partial, card_heads=heads)
    return Created(model, start, file, report)


def _build(card: BackboneCard, img_size: int, arguments: dict[str, Any]) -> nn.Module:
    if card.module:
        importlib.import_module(card.module)
    settings = {**card.arguments, **arguments}
    model: nn.Module
    try:
        try:
            model = timm.create_model(card.architecture, pretrained=False, img_size=img_size, **settings)
        except TypeError as error:
            if "img_size" not in str(error):  # only models that are free of the input size refuse the name
                raise
            model = timm.create_model(card.architecture, pretrained=False, **settings)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"backbone {card.name} cannot be made at {img_size} px: {first}") from error
    return model
