"""Load trackers that OSTrack's own code trained: convert their checkpoint files to our network.

Names and layout are those of botaoye/OSTrack at 33b5e125 (lib/models/ostrack, lib/models/layers/head.py). A timm-like
ViT is stored under ``backbone.``, with the position embeddings ``pos_embed_z`` of the template grid and ``pos_embed_x``
of the search grid. The center head is stored under ``box_head.``: the towers ``ctr``, ``offset`` and ``size``, each
with four pairs of 3x3 convolution and batch norm, and a 1x1 convolution.
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

# the first is the default of ``bench track --checkpoint``
OSTRACK_PROTOCOLS = ("ostrack256", "ostrack256_ce", "ostrack384")
OSTRACK_MEAN, OSTRACK_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation that OSTrack normalizes with, however the backbone was pre-trained."""

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
"""Tensors of our network that tracking does not read, so that an OSTrack file may lack them."""


def load_ostrack_tracker(path: Path, backbone: str, protocol: str, device: str = "cpu") -> tuple[Tracker, LoadReport]:
    """Load a tracker from a checkpoint of OSTrack's code; every tensor must be accounted for.

    Args:
        path: the file: a state dict, either directly or under the key ``net``.
        backbone: name of the plain ViT that was trained. It defines the number of attention heads, which the shapes in
            the file do not show.
        protocol: one of ``OSTRACK_PROTOCOLS``. It defines the crops and whether search tokens are eliminated.
        device: ``cpu`` or ``cuda``.

    Returns:
        The tracker, and a report on the loaded tensors.

    Raises:
        UnknownNameError: there is no such backbone or protocol.
        CheckpointError: the file cannot be read or does not fit; the message names missing, unexpected and misshapen
            tensors.
        UserError: the backbone does not fit into a one-stream tracker.
    """
    if protocol not in OSTRACK_PROTOCOLS:
        choices = ", ".join(OSTRACK_PROTOCOLS)
        raise UnknownNameError(
            f"an OSTrack checkpoint has no protocol {protocol!r}"
            f"{did_you_mean(protocol, OSTRACK_PROTOCOLS, hint=choices)}"
        )
    # always the tier full: the file was trained by another program, so only crops and elimination matter
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
    report.notes.append(
        f"{heads} attention heads, the number that {backbone} has; the shapes in the file do not show it"
    )
    return Tracker(TorchNetwork(model.to(device)), recipe.crop_sizes(), backbone), report


def load_ostrack_weights(model: TrackerModel, tensors: Mapping[str, Tensor], source: str) -> LoadReport:
    """Load an OSTrack state dict into our network, in place: either all of it or nothing.

    Args:
        model: the network that gets the weights.
        tensors: the state dict with OSTrack's names.
        source: where the state dict is from, for messages.

    Raises:
        CheckpointError: see ``load_ostrack_tracker``.
    """
    # files saved under DataParallel have this prefix
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
            raise CheckpointError(
                f"the checkpoint {source} holds NaN or infinity in {name}, so it cannot be used; take an earlier one"
            )
        else:
            accepted[ours] = value
    # dropped and misshapen tensors count as found, so that each fault is reported once
    found = {convert_tensor_name(name) for name in tensors}
    missing = [
        format_tensor(name, value)
        for name, value in own.items()
        if name not in found and not _OPTIONAL_TENSOR_PATTERN.match(name)
    ]
    if faults or unexpected or missing:
        raise CheckpointError(_describe_mismatch(source, len(accepted), faults, missing, unexpected))
    # not strict only because of the optional tensors; everything else was accounted for above
    model.load_state_dict(accepted, strict=False)
    return LoadReport(len(accepted), [], [], [], dropped, 1.0, [])


def convert_tensor_name(ostrack_name: str) -> str:
    """Return the name that a tensor of OSTrack has in our network.

    Args:
        ostrack_name: name in OSTrack's state dict.

    Example:
        >>> names = ("backbone.pos_embed_z", "box_head.conv2_ctr.1.bias", "box_head.conv5_size.weight")
        >>> [convert_tensor_name(name) for name in names]
        ['backbone.template_positions', 'head.score.4.bias', 'head.size.12.weight']
    """
    if found := _HEAD_LAYER_PATTERN.match(ostrack_name):
        layer, tower, part, rest = found.groups()
        # our towers are flat: three modules per layer (convolution, norm, ReLU), of which OSTrack numbers the first two
        return f"head.{_TOWERS[tower]}.{3 * (int(layer) - 1) + int(part)}.{rest}"
    if found := _HEAD_OUTPUT_PATTERN.match(ostrack_name):
        return f"head.{_TOWERS[found[1]]}.12.{found[2]}"  # the 1x1 convolution after four layers of three modules
    positions = {"backbone.pos_embed_z": "template", "backbone.pos_embed_x": "search"}
    if ostrack_name in positions:
        return f"backbone.{positions[ostrack_name]}_positions"
    return (
        f"backbone.vit.{ostrack_name.removeprefix('backbone.')}"
        if ostrack_name.startswith("backbone.")
        else ostrack_name
    )


def _require_ostrack_tensors(tensors: Mapping[str, Tensor], source: str) -> None:
    """Check that a state dict comes from OSTrack's code.

    Raises:
        CheckpointError: it is a weights file of our own, or of something other than a tracker.
    """
    if any(name.startswith("backbone.vit.") for name in tensors):
        raise CheckpointError(f"{source} is a weights file of a bench run; give the run's folder with --run instead")
    if "backbone.pos_embed_z" not in tensors or not any(name.startswith("box_head.") for name in tensors):
        raise CheckpointError(
            f"{source} is not an OSTrack-style tracker: it lacks backbone.pos_embed_z or box_head; weights of a "
            "backbone alone must be trained into a tracker first (bench run lasot --checkpoint ...)"
        )


def _describe_mismatch(
    source: str, matched: int, misshapen: list[str], missing: list[str], unexpected: list[str]
) -> str:
    """Return the message for a file that does not fit, with the first three tensors of each kind."""
    text = f"the checkpoint {source} does not fit the backbone and protocol: {matched} tensors match"
    for label, names in (("misshapen", misshapen), ("missing", missing), ("unexpected", unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text += f"; {len(names)} {label}: {', '.join(names[:3])}{more}"
    return f"{text}; choose the backbone and the protocol that it was trained with"
