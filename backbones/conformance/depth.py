"""The check for layer-wise learning-rate decay: timm's ``group_matcher`` must follow the depth of the model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from backbones.conformance.backbone_under_test import BackboneUnderTest, ContractViolation


def check_layer_decay(backbone: BackboneUnderTest) -> str:
    """Check that the groups of ``group_matcher`` rise from the stem to the head.

    Every parameter must be in one group, groups must never fall in the order in which the modules run, and only the
    head may be unmatched. timm puts every parameter that the matcher does not know into the last group, so a forgotten
    stem parameter would silently train with the head's learning rate.
    """
    model = backbone.model
    if not hasattr(model, "group_matcher"):
        raise ContractViolation("it has no group_matcher, which layer-wise learning-rate decay needs")
    matcher: Any = model.group_matcher
    ids: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
    names = [name for name, _ in model.named_parameters()]
    layers = sorted({ids[name] for name in names})
    if len(layers) < 3:  # stem, at least one block, head: with fewer there is nothing to decay over
        raise ContractViolation(
            f"group_matcher puts {len(names)} parameters into {len(layers)} groups; it must follow depth"
        )
    order = _call_order(backbone)
    top, classifier = layers[-1], _classifier_prefixes(model)
    # (time of the first call, group, name), in the order in which the modules run
    called = sorted((order[name], ids[name], name) for name in names if name in order)
    last_below = max((position for position, layer, _ in called if layer < top), default=0)
    # The top group is right for the classifier, and for what runs after all lower groups (a final norm). Parameters
    # directly in the model have no position and count as the first.
    for name in names:
        if ids[name] == top and not name.startswith(classifier) and order.get(name, 0) < last_below:
            raise ContractViolation(f"{name} falls into the head's group, but layers of lower groups run after it")
    for (_, layer, name), (_, following, later) in pairwise(called):
        if following < layer:
            raise ContractViolation(f"{later} runs after {name}, but lies in a lower group ({following} below {layer})")
    return f"{len(names)} parameters in {len(layers)} groups that rise with depth"


def _classifier_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Return the name prefixes of the classifier, as timm's ``pretrained_cfg`` names it."""
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    named = config.get("classifier") or "head"
    return tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))


def _call_order(backbone: BackboneUnderTest) -> dict[str, int]:
    """Record when each parameter is first used, as the position of its module in the order of first calls.

    A parameter counts with the module that owns it, or with the nearest enclosing module that is called. Parameters
    directly in the model (class token, position embedding) belong to no called submodule and are left out.

    Returns:
        Parameter name -> position, from 0.
    """
    model = backbone.model
    first: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if name:
            # the default argument binds this module's name; a closure would see only the last one
            def note(_module: nn.Module, _inputs: Any, name: str = name) -> None:
                first.setdefault(name, len(first))

            handles.append(module.register_forward_pre_hook(note))
    try:
        with torch.no_grad():
            model(backbone.random_images(1))
    finally:
        for handle in handles:
            handle.remove()
    order = {}
    for name, _ in model.named_parameters():
        # a module whose weights another module reads directly is never called itself, so look further out
        owner = name.rpartition(".")[0]
        while owner and owner not in first:
            owner = owner.rpartition(".")[0]
        if owner:
            order[name] = first[owner]
    return order
