"""Create a backbone from its card: a timm model, and a report of what was loaded into it."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from backbones.build_model import build_model
from backbones.card import BackboneCard
from backbones.checkpoints.load_weights import LoadReport, load_weight_file
from backbones.checkpoints.read_checkpoint import WeightFile, read_weights
from backbones.memory_modules.adapt_module import copy_module_for_task
from backbones.pooling import MEAN_NORM_REASON, make_pooling_error, norms_pooled_mean
from backbones.registry import get_card
from backbones.stated_input import state_input
from backbones.weights import MEMORY_ARCHITECTURE, InitialWeights, locate_weights, require_matching_sha256
from foundation.errors import UserError


class CreatedBackbone(NamedTuple):
    """A created backbone: the model, its initial weights, and for loaded weights the file and the load report."""

    model: nn.Module
    initial_weights: InitialWeights
    weight_file: WeightFile | None
    load_report: LoadReport | None


def create_backbone(
    name: str | BackboneCard,
    *,
    img_size: int | tuple[int, int] | None = None,
    checkpoint: str | InitialWeights | None = None,
    weights_key: str | None = None,
    allow_partial: bool = False,
    **model_kwargs: Any,
) -> CreatedBackbone:
    """Create a backbone of the registry (or any ``timm/<name>``) as a timm model.

    Args:
        name: registry name, ``timm/<name>``, or a card; for a module from memory the card that
            ``backbones.memory_modules.memory_module.make_memory_card`` gives.
        img_size: input side, or height and width, in pixels; the card's when not given. Plain ViTs and others
            that can (timm's ``dynamic_img_size``) also take other sizes at run time: see ``backbones.features``.
        checkpoint: a weight file, ``"random"``, or nothing: then the card's weights, else random ones; or weights as
            ``locate_weights`` or ``make_memory_card`` gives them.
        weights_key: the weights to take from a file that holds several versions of them; the running average if there
            is one when not given.
        allow_partial: accept a checkpoint that fills only part of the trunk.
        model_kwargs: passed to timm's ``create_model`` over the card's (``num_classes``, ``drop_path_rate`` ...).

    Raises:
        UnknownNameError: no such backbone.
        CheckpointError: weights missing, unreadable, or not fitting.
        PoolingError: a pooling that the architecture or the card's weights cannot do.
        UserError: a size or argument the architecture refuses.

    Example:
        >>> model, start, file, report = create_backbone("vit_nano", num_classes=10)
        >>> start.init
        'random'
    """
    card = name if isinstance(name, BackboneCard) else get_card(name)
    start = locate_weights(card, checkpoint, weights_key)
    size = card.input_size[1:] if img_size is None else (img_size, img_size) if isinstance(img_size, int) else img_size
    if (card.architecture == MEMORY_ARCHITECTURE) != (start.init == "memory"):
        raise UserError(
            f"the card of {card.name} and its weights do not belong together: a module from memory is made of the card "
            "and the weights that make_memory_card gives for it, and of no others"
        )
    if model_kwargs.get("global_pool") == "token" and norms_pooled_mean(card, start):
        raise make_pooling_error(card.name, "token", MEAN_NORM_REASON)
    if start.init == "memory":
        return CreatedBackbone(copy_module_for_task(card, start, size, model_kwargs), start, None, None)
    model = build_model(card, size, model_kwargs)
    state_input(model, (card.input_size[0], *size), mean=card.mean, std=card.std)
    if start.file is None:
        return CreatedBackbone(model, start, None, None)
    file = read_weights(start.file, start.weights_key)
    if start.init == "card":
        require_matching_sha256(card, file.path, file.sha256)
    # weights of another file may have another head count, and be made for another size
    heads, made_for = (card.heads, card.input_size[1:]) if start.init == "card" else (None, None)
    report = load_weight_file(model, file, allow_partial=allow_partial, card_heads=heads, card_size=made_for)
    return CreatedBackbone(model, start, file, report)
