"""The contract of layer-wise learning-rate decay: ``group_matcher`` covers everything once and follows depth."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from backbones.conformance.backbone_under_test import BackboneUnderTest, ContractViolation


def check_layer_decay(backbone: BackboneUnderTest) -> str:
    """Every parameter has one layer, layers never fall from the stem to the head, and only the head is unmatched.

    timm puts whatever its matcher does not know into the last group, so a forgotten stem parameter trains at the
    head's learning rate and nobody is told.
    """
    model = backbone.model
    if not hasattr(model, "group_matcher"):
        raise ContractViolation("it has no group_matcher, which layer-wise learning-rate decay needs")
    matcher: Any = model.group_matcher
    ids: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
    names = [name for name, _ in model.named_parameters()]
    layers = sorted({ids[name] for name in names})
    if len(layers) < 3:
        raise ContractViolation(
            f"group_matcher makes {len(layers)} groups of {len(names)} parameters; it must follow depth"
        )
    order = _call_order(backbone)
    top, classifier = layers[-1], _classifier_prefixes(model)
    called = sorted((order[name], ids[name], name) for name in names if name in order)
    last_below = max((position for position, layer, _ in called if layer < top), default=0)
    for name in names:
        if ids[name] == top and not name.startswith(classifier) and order.get(name, 0) < last_below:
            raise ContractViolation(f"{name} falls into the head's group although layers of lower groups come after it")
    for (_, layer, name), (_, following, later) in pairwise(called):
        if following < layer:
            raise ContractViolation(f"{later} comes after {name} but lies in a lower group ({following} below {layer})")
    return f"{len(names)} parameters in {len(layers)} groups that rise with depth"


def _classifier_prefixes(model: nn.Module) -> tuple[str, ...]:
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    named = config.get("classifier") or "head"
    return tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))


def _call_order(backbone: BackboneUnderTest) -> dict[str, int]:
    """When the module that owns a parameter (or the nearest that is called and holds it) is first called.

    The model's own direct parameters (class token, position embedding) have no such place and are left out.
    """
    model = backbone.model
    first: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if name:

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
        owner = name.rpartition(".")[0]
        while owner and owner not in first:
            owner = owner.rpartition(".")[0]
        if owner:
            order[name] = first[owner]
    return order
