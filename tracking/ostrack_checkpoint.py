"""Trackers trained by OSTrack's own code, from their checkpoint files, in our network.

Names and layout as in botaoye/OSTrack at 33b5e125 (lib/models/ostrack, lib/models/layers/head.py): a timm-like ViT
under ``backbone.`` with the two grids' positions ``pos_embed_z`` and ``pos_embed_x``, and the centre head under
``box_head.``: towers ``ctr``, ``offset`` and ``size`` of four 3x3 convolution-norm pairs and a 1x1 convolution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from backbones.checkpoints.formats import format_dropped, format_shape, format_tensor
from backbones.checkpoints.load_weights import LoadReport
from backbones.checkpoints.read_checkpoint import read_raw_weights
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from engine.config import load_protocol
from foundation.errors import CheckpointError, UnknownNameError
from foundation.suggest import did_you_mean
from tracking.inference.backend import TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.models.tracker_model import TrackerModel
from tracking.protocols import CONFIGS
from tracking.recipe import TrackingRecipe

OSTRACK_PROTOCOLS = ("ostrack256", "ostrack256_ce", "ostrack384")
OSTRACK_MEAN, OSTRACK_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What OSTrack normalises with, whatever the backbone was pre-trained with."""

_TOWERS = {"ctr": "score", "offset": "offset", "size": "size"}
_HEAD_LAYER_PATTERN = re.compile(r"box_head\.conv([1-4])_(ctr|offset|size)\.([01])\.(.+)$")
_HEAD_OUTPUT_PATTERN = re.compile(r"box_head\.conv5_(ctr|offset|size)\.(.+)$")
_UNUSED_TENSOR_PATTERNS = (
    (re.compile(r"backbone\.(cls_token|dist_token|pos_embed)$"), "the joint sequence does not use it"),
    (re.compile(r"backbone\.(head|head_dist|pre_logits)\."), "classifier"),
)
_OPTIONAL_TENSOR_PATTERN = re.compile(
    r"skipped$|backbone\.vit\.(cls_token|reg_token|dist_token|pos_embed)$|backbone\.vit\.(head|head_dist)\.|"
    r".*\.num_batches_tracked$"
)
"""Of our network's state, what tracking does not read and an OSTrack file need not have."""


def load_ostrack_tracker(path: Path, backbone: str, protocol: str, device: str = "cpu") -> tuple[Tracker, LoadReport]:
    """A tracker from an OSTrack-style checkpoint; every tensor has its place, or it is refused.

    Args:
        path: the file: a state dict, as it is or under ``net``.
        backbone: the plain ViT it was trained with; the head count of its attention cannot be told from the file.
        protocol: one of ``OSTRACK_PROTOCOLS``: crops, and whether search tokens are eliminated.
        device: ``cpu`` or ``cuda``.

    Raises:
        UnknownNameError: no such backbone or protocol.
        CheckpointError: unreadable, or it does not fit; the sentence says what is missing, unexpected or misshapen.
        UserError: the backbone cannot be a one-stream tracker.
    """
    if protocol not in OSTRACK_PROTOCOLS:
        choices = ", ".join(OSTRACK_PROTOCOLS)
        raise UnknownNameError(
            f"an OSTrack checkpoint has no protocol {protocol!r}"
            f"{did_you_mean(protocol, OSTRACK_PROTOCOLS, hint=choices)}"
        )
    recipe = load_protocol(CONFIGS / f"{protocol}.py", TrackingRecipe, "full").recipe
    model = TrackerModel(
        create_backbone(get_card(backbone), checkpoint=RANDOM_INIT, num_classes=0).model,
        recipe.template_size,
        recipe.search_size,
        OSTRACK_MEAN,
        OSTRACK_STD,
        head_channels=recipe.head_channels,
        candidate_elimination=recipe.ce if recipe.use_ce else None,
    )
    report = load_ostrack_weights(model, read_raw_weights(path).tensors, str(path))
    heads = model.backbone.vit.blocks[0].attn.num_heads
    report.notes.append(f"{heads} attention heads, as {backbone} has; the file's shapes are the same for any number")
    return Tracker(TorchNetwork(model.to(device)), recipe.crop_sizes(), backbone), report


def load_ostrack_weights(model: TrackerModel, tensors: Mapping[str, Tensor], source: str) -> LoadReport:
    """Put an OSTrack state dict into our network (in place), whole or not at all.

    Raises:
        CheckpointError: see ``load_ostrack_tracker``.
    """
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    _require_ostrack_tensors(tensors, source)
    own = model.state_dict()
    accepted: dict[str, Tensor] = {}
    dropped, unexpected, faults = [], [], []
    for name, value in tensors.items():
        reason = next((why for pattern, why in _UNUSED_TENSOR_PATTERNS if pattern.match(name)), "")
        ours = convert_tensor_name(name)
        if reason:
            dropped.append(format_dropped(name, value, reason))
        elif ours not in own:
            unexpected.append(format_tensor(name, value))
        elif value.shape != own[ours].shape:
            faults.append(f"{name} is {format_shape(value)} and should be {format_shape(own[ours])}")
        elif not torch.isfinite(value.float()).all():
            raise CheckpointError(f"the checkpoint {source} holds NaN or infinity in {name}; it is of no use")
        else:
            accepted[ours] = value
    found = {convert_tensor_name(name) for name in tensors}
    missing = [
        format_tensor(name, value)
        for name, value in own.items()
        if name not in found and not _OPTIONAL_TENSOR_PATTERN.match(name)
    ]
    if faults or unexpected or missing:
        raise CheckpointError(_describe_mismatch(source, len(accepted), faults, missing, unexpected))
    model.load_state_dict(accepted, strict=False)  # strict by the accounting above
    return LoadReport(len(accepted), [], [], [], dropped, 1.0, [])


def convert_tensor_name(ostrack_name: str) -> str:
    """OSTrack's name of a tensor in our network.

    >>> names = ("backbone.pos_embed_z", "box_head.conv2_ctr.1.bias", "box_head.conv5_size.weight")
    >>> [convert_tensor_name(name) for name in names]
    ['backbone.template_positions', 'head.score.4.bias', 'head.size.12.weight']
    """
    if found := _HEAD_LAYER_PATTERN.match(ostrack_name):
        layer, tower, part, rest = found.groups()
        return f"head.{_TOWERS[tower]}.{3 * (int(layer) - 1) + int(part)}.{rest}"  # convolution, norm, ReLU
    if found := _HEAD_OUTPUT_PATTERN.match(ostrack_name):
        return f"head.{_TOWERS[found[1]]}.12.{found[2]}"
    positions = {"backbone.pos_embed_z": "template", "backbone.pos_embed_x": "search"}
    if ostrack_name in positions:
        return f"backbone.{positions[ostrack_name]}_positions"
    return (
        f"backbone.vit.{ostrack_name.removeprefix('backbone.')}"
        if ostrack_name.startswith("backbone.")
        else ostrack_name
    )


def _require_ostrack_tensors(tensors: Mapping[str, Tensor], source: str) -> None:
    if any(name.startswith("backbone.vit.") for name in tensors):
        raise CheckpointError(f"{source} is a weight file of a bench run; give the run's folder with --run instead")
    if "backbone.pos_embed_z" not in tensors or not any(name.startswith("box_head.") for name in tensors):
        raise CheckpointError(
            f"{source} is no OSTrack-style tracker: it lacks backbone.pos_embed_z or box_head; weights of a backbone "
            "alone must be trained into a tracker first (bench run lasot --checkpoint ...)"
        )


def _describe_mismatch(
    source: str, matched: int, misshapen: list[str], missing: list[str], unexpected: list[str]
) -> str:
    text = f"the checkpoint {source} does not fit the backbone and protocol: {matched} tensors match"
    for label, names in (("misshapen", misshapen), ("missing", missing), ("unexpected", unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text += f"; {len(names)} {label}: {', '.join(names[:3])}{more}"
    return f"{text}; choose the backbone and the protocol it was made with"
