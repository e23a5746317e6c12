"""The checks that a backbone does what the protocols ask of it: fine-tuning, frozen features, dense features."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from backbones.conformance.backbone_under_test import (
    NUM_TEST_CLASSES,
    BackboneUnderTest,
    CheckSkipped,
    ContractCheck,
    ContractViolation,
)
from backbones.features import extract_pooled, extract_pyramid
from backbones.refusals import PatchSizeError, PoolingError
from foundation.errors import UserError

_DENSE_SIZE = 512
"""Side of the crops of the segmentation protocols, pixels."""

_DROP_PATH = 0.1
"""Drop path of the protocols that have one."""


def check_finetuning(backbone: BackboneUnderTest) -> str:
    """Check that the backbone can be created as the fine-tuning protocols do, and gives logits in training mode."""
    make = _require_maker(backbone)
    settings: dict[str, Any] = {"num_classes": NUM_TEST_CLASSES, "global_pool": "avg", "drop_path_rate": 0.0}
    remarks = []
    try:
        model = make(backbone.img_size, **settings)
    except PoolingError:
        settings["global_pool"] = "token"
        remarks.append("with --set pool=token, as it cannot be pooled by avg")
        model = make(backbone.img_size, **settings)
    try:
        model = make(backbone.img_size, **{**settings, "drop_path_rate": _DROP_PATH})
    except UserError:
        remarks.append("without drop path (--set drop_path=0 where a protocol has one)")
    logits = model.train()(backbone.random_images(2))
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (2, NUM_TEST_CLASSES):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ContractViolation(f"in training mode it gives {got} and not logits (2, {NUM_TEST_CLASSES})")
    return "; ".join([f"{NUM_TEST_CLASSES} classes behind {settings['global_pool']} pooling", *remarks])


def check_frozen_features(backbone: BackboneUnderTest) -> str:
    """Check that frozen features can be pooled by the class token or by the mean, finite and one vector an image."""
    make = _require_maker(backbone)
    widths = {}
    refusals = []
    for pool in ("token", "avg"):
        try:
            model = make(backbone.img_size, num_classes=0, global_pool=pool).eval()
            with torch.no_grad():
                vectors = extract_pooled(model, backbone.random_images(2), pool)
        except PoolingError as error:
            refusals.append(f"not {pool}: {error.reason}")
            continue
        if vectors.ndim != 2 or len(vectors) != 2 or not bool(torch.isfinite(vectors).all()):
            raise ContractViolation(f"pooled by {pool}, features have shape {tuple(vectors.shape)} or are not finite")
        widths[pool] = int(vectors.shape[1])
    if not widths:
        raise ContractViolation(f"features can be pooled in no way ({'; '.join(refusals)})")
    return "; ".join([", ".join(f"{pool}: {width} numbers" for pool, width in widths.items()), *refusals])


def check_dense_features(backbone: BackboneUnderTest) -> str:
    """Check that the backbone gives feature maps of the crops of segmentation, padded to its patch if need be."""
    model, size = _make_dense(_require_maker(backbone))
    # only the shapes matter, so nothing is computed
    images = torch.zeros(1, backbone.channels, *size, device="meta")
    maps = extract_pyramid(model.to("meta").eval(), images)
    shapes = ", ".join(f"{tuple(each.shape[1:])}" for each in maps)
    return f"{len(maps)} maps of {size[0]} x {size[1]} px: {shapes}"


def check_card_weights(backbone: BackboneUnderTest) -> str:
    """Check that the card's own weight file, if it is on this machine, loads completely for every use."""
    load = backbone.load_for_task
    if load is None:
        raise CheckSkipped("its card names no weights that are on this machine")
    uses = []
    for pool in ("token", "avg"):
        for what, classes in (("fine-tuning", NUM_TEST_CLASSES), ("frozen features", 0)):
            # whatever else is wrong with the weights is raised
            with contextlib.suppress(PoolingError):
                load(backbone.img_size, num_classes=classes, global_pool=pool)
                uses.append(f"{what} ({pool})")
    _make_dense(load)
    return f"the card's file loads completely for {', '.join(uses)} and dense features"


def _make_dense(make: Callable[..., nn.Module]) -> tuple[nn.Module, tuple[int, int]]:
    """Make a backbone for a crop of segmentation; return it with the crop's height and width, padded to its patch."""
    size = (_DENSE_SIZE, _DENSE_SIZE)
    try:
        return make(size, num_classes=0), size
    except PatchSizeError as error:
        # -(-a // b) rounds a / b up
        size = (-(-_DENSE_SIZE // error.patch[0]) * error.patch[0], -(-_DENSE_SIZE // error.patch[1]) * error.patch[1])
        return make(size, num_classes=0), size


def _require_maker(backbone: BackboneUnderTest) -> Callable[..., nn.Module]:
    if backbone.create_for_task is None:
        raise CheckSkipped("it was handed over as a model, not as the name of a backbone")
    return backbone.create_for_task


PROTOCOL_CHECKS: dict[str, ContractCheck] = {
    "fine-tuning": check_finetuning,
    "frozen features": check_frozen_features,
    "dense features": check_dense_features,
    "weights": check_card_weights,
}
"""Name of the check -> function; they follow those of ``CONTRACT_CHECKS``."""
