"""Load trackers that OSTrack's own code trained: convert their checkpoint files to our network.

Names and layout are those of botaoye/OSTrack at 33b5e125 (lib/models/ostrack, lib/models/layers/head.py). A timm-like
ViT is stored under ``backbone.``, with the position embeddings ``pos_embed_z`` of the template grid and ``pos_embed_x``
of the search grid. The center head is stored under ``box_head.``: the towers ``ctr``, ``offset`` and ``size``, each
with four pairs of 3x3 convolution and batch norm, and a 1x1 convolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.checkpoints.formats import format_dropped, format_shape, format_tensor
from backbones.checkpoints.load_weights import LoadReport, load_tensors
from backbones.checkpoints.read_checkpoint import describe_choice, read_raw_weights
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from foundation.errors import CheckpointError
from tracking.fit_crops import fit_crop_sizes
from tracking.inference.backend import TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.models.compatibility import find_patch_size
from tracking.models.tracker_model import TrackerModel
from tracking.ostrack_settings import (
    TrackerSettings,
    load_ostrack_recipe,
    read_stated_settings,
    resolve_settings,
)
from tracking.recipe import TrackingRecipe

OSTRACK_MEAN, OSTRACK_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation that OSTrack normalizes with, however the backbone was pre-trained."""

_TOWERS = {"ctr": "score", "offset": "offset", "size": "size"}
_HEAD_LAYER_PATTERN = re.compile(r"box_head\.conv([1-4])_(ctr|offset|size)\.([01])\.(.+)$")
_HEAD_OUTPUT_PATTERN = re.compile(r"box_head\.conv5_(ctr|offset|size)\.(.+)$")
_TRUNK = "backbone.vit."
_UNUSED_TRUNK_TENSORS = ("cls_token", "dist_token", "reg_token", "pos_embed")
"""Tensors of a ViT that the joint sequence does not use: they are not loaded, and a file may lack them."""
_FINAL_NORM_PATTERN = re.compile(r"backbone\.vit\.(norm|fc_norm)\.")
_UNREAD_PATTERN = re.compile(rf"({'|'.join(_UNUSED_TRUNK_TENSORS)})$|(norm|fc_norm)\.")
"""Tensors of a ViT that are not read when its trunk is loaded: those above, and the final norm, which is set apart."""
_OPTIONAL_TENSOR_PATTERN = re.compile(
    rf"skipped$|backbone\.vit\.({'|'.join(_UNUSED_TRUNK_TENSORS)})$|backbone\.vit\.(head|head_dist)\.|"
    r".*\.num_batches_tracked$"
)
"""Tensors of our network that tracking does not read, so that an OSTrack file may lack them."""


class OstrackModel(NamedTuple):
    """A tracker of OSTrack's code, loaded.

    Attributes:
        model: the network, on the CPU.
        recipe: how it is applied; the settings of training have no meaning.
        report: which tensors were loaded, and in its notes what the file says and what was assumed.
    """

    model: TrackerModel
    recipe: TrackingRecipe
    report: LoadReport


def load_ostrack_tracker(
    path: Path, backbone: str, protocol: str | None = None, device: str = "cpu"
) -> tuple[Tracker, LoadReport]:
    """Load a tracker from a checkpoint of OSTrack's code; every tensor must be accounted for.

    Args:
        path: the file: a state dict, either directly or under the key ``net``.
        backbone: see ``load_ostrack_model``.
        protocol: see ``load_ostrack_model``.
        device: ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The tracker, and a report on the loaded tensors.

    Raises:
        BenchError: see ``load_ostrack_model``.
    """
    model, recipe, report = load_ostrack_model(path, backbone, protocol)
    return Tracker(TorchNetwork(model.to(device)), recipe.crop_sizes(), backbone), report


def load_ostrack_model(
    path: Path,
    backbone: str,
    protocol: str | None = None,
    asked: TrackerSettings | None = None,
    weights_key: str | None = None,
) -> OstrackModel:
    """Load the network of a checkpoint of OSTrack's code, and resolve how it is applied.

    Crops and candidate elimination are those that the file says. What it does not say comes from the user, else the
    sizes follow from the weights, and the rest is assumed, with a note.

    Args:
        path: the file: a state dict, either directly or under the key ``net``.
        backbone: name of the plain ViT that was trained. It defines the number of attention heads, which is checked as
            in every file: the shapes do not show it, but the structure of the weights mostly does.
        protocol: one of ``OSTRACK_PROTOCOLS``, if the user names one. Its crops follow the backbone's patches as in a
            run.
        asked: single settings that the user asks for.
        weights_key: the weights to take from a file that holds several versions of them.

    Raises:
        UnknownNameError: there is no such backbone or protocol.
        CheckpointError: the file cannot be read or does not fit, or has another head count; the message names missing,
            unexpected and misshapen tensors.
        UserError: the backbone does not fit into a one-stream tracker, or the user asks for something else than the
            file says.
    """
    wanted = None if protocol is None else load_ostrack_recipe(protocol)
    vit = create_backbone(get_card(backbone), checkpoint=RANDOM_INIT, num_classes=0).model
    raw = read_raw_weights(path, weights_key)
    fit_notes: tuple[str, ...] = ()
    if wanted is not None:
        # as in a run; the positions in the file have the number of patches, so that crops of other sizes are refused
        wanted, _, fit_notes = fit_crop_sizes(wanted, vit, ())
    grid_sizes = _find_grid_sizes(raw.tensors, find_patch_size(vit))
    stated = read_stated_settings(raw.content)
    named = None if protocol is None or wanted is None else (protocol, wanted)
    recipe, notes = resolve_settings(stated, asked or TrackerSettings(), named, grid_sizes)
    recipe = recipe.model_copy(update={"head_channels": _find_head_channels(raw.tensors) or recipe.head_channels})
    model = TrackerModel(
        vit,
        recipe.template_size,
        recipe.search_size,
        OSTRACK_MEAN,
        OSTRACK_STD,
        head_channels=recipe.head_channels,
        candidate_elimination=recipe.ce if recipe.use_ce else None,
    )
    report = load_ostrack_weights(model, raw.tensors, str(path), raw.arguments)
    report.notes.extend([*describe_choice(raw), *fit_notes, *notes])
    return OstrackModel(model.eval(), recipe, report)


def _find_grid_sizes(tensors: Mapping[str, Tensor], patch: int) -> tuple[int, int] | None:
    """Return template size and search size in pixels by the numbers of position embeddings.

    Args:
        tensors: all tensors of the file.
        patch: side of a patch in pixels.
    """
    sizes = []
    for name in ("pos_embed_z", "pos_embed_x"):
        positions = tensors.get(f"backbone.{name}", tensors.get(f"module.backbone.{name}"))
        if positions is None or positions.ndim != 3:
            return None
        side = math.isqrt(positions.shape[1])
        if side == 0 or side**2 != positions.shape[1]:
            return None
        sizes.append(side * patch)
    return sizes[0], sizes[1]


def _find_head_channels(tensors: Mapping[str, Tensor]) -> int | None:
    """Return the channels of the first convolutions of the head, which a fork may have changed."""
    name = "box_head.conv1_ctr.0.weight"
    weight = tensors.get(name, tensors.get(f"module.{name}"))
    return len(weight) if weight is not None and weight.ndim == 4 and len(weight) and len(weight) % 8 == 0 else None


def load_ostrack_weights(
    model: TrackerModel, tensors: Mapping[str, Tensor], source: str, arguments: Mapping[str, Any] | None = None
) -> LoadReport:
    """Load an OSTrack state dict into our network, in place: either all of it or nothing.

    Args:
        model: the network that gets the weights.
        tensors: the state dict with OSTrack's names.
        source: where the state dict is from, for messages.
        arguments: the arguments of the training run, as stored in the file; they may state the head count.

    Raises:
        CheckpointError: see ``load_ostrack_tracker``.
    """
    # files saved under DataParallel have this prefix
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    _require_ostrack_tensors(tensors, source)
    own = model.state_dict()
    accepted: dict[str, Tensor] = {}
    dropped, unexpected, faults = [], [], []
    names = {name: _find_own_name(name, tensors, own) for name in tensors}
    for name, value in tensors.items():
        ours, reason = names[name], _find_drop_reason(name, tensors)
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
    found = set(names.values())
    missing = [
        format_tensor(name, value)
        for name, value in own.items()
        if name not in found and not _OPTIONAL_TENSOR_PATTERN.match(name)
    ]
    if faults or unexpected or missing:
        raise CheckpointError(_describe_mismatch(source, len(accepted), faults, missing, unexpected))
    # the final norm is called fc_norm in some backbones, and loading takes that for a part of the classifier
    is_trunk = {name: name.startswith(_TRUNK) and not _FINAL_NORM_PATTERN.match(name) for name in accepted}
    trunk = {name.removeprefix(_TRUNK): value for name, value in accepted.items() if is_trunk[name]}
    notes = _load_trunk(model.backbone.vit, trunk, source, arguments)
    # not strict, because the trunk is loaded already and some tensors are optional; all were accounted for above
    model.load_state_dict({name: value for name, value in accepted.items() if not is_trunk[name]}, strict=False)
    return LoadReport(len(accepted), [], [], [], dropped, 1.0, notes)


def _load_trunk(
    vit: nn.Module, trunk: Mapping[str, Tensor], source: str, arguments: Mapping[str, Any] | None
) -> list[str]:
    """Load the trunk of a tracker as every checkpoint is loaded, with the check of the head count.

    Args:
        vit: the ViT of the network.
        trunk: its tensors without the final norm, with the names and shapes of the ViT.
        source: where they are from, for messages.
        arguments: the arguments of the training run, as stored in the file.

    Returns:
        What the loading notes, above all on the head count.

    Raises:
        CheckpointError: the file has another head count.
    """
    optional = tuple(name for name in vit.state_dict() if _UNREAD_PATTERN.match(name))
    try:
        report = load_tensors(vit, trunk, allow_partial=False, source=source, arguments=arguments, optional=optional)
    except CheckpointError as error:
        # a tracker with wrong heads would follow nothing, so that there is no --allow-partial for the message to offer
        raise CheckpointError(str(error).partition(", or accept it with")[0]) from error
    # the final norm is set apart, so that what the loading says of a norm that it did not get is not true
    return [note for note in report.notes if not note.endswith("not needed here") and not note.startswith("fc_norm,")]


def _find_own_name(name: str, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """Return the name that a tensor of a file has in our network, wherever the backbone keeps its final norm.

    OSTrack norms all tokens at the end and calls that norm ``norm``. Our network does the same with a backbone that
    averages patch tokens, whose only final norm is called ``fc_norm``.

    Args:
        name: name in the file.
        tensors: all tensors of the file.
        own: the state dict of our network.
    """
    ours = convert_tensor_name(name)
    if ours.startswith(f"{_TRUNK}norm.") and ours not in own:
        return ours.replace(".norm.", ".fc_norm.")
    if ours.startswith(f"{_TRUNK}fc_norm.") and ours not in own and "backbone.norm.weight" not in tensors:
        return ours.replace(".fc_norm.", ".norm.")
    return ours


def _find_drop_reason(name: str, tensors: Mapping[str, Tensor]) -> str:
    """Return why a tensor of a file is left out; "" if it is not.

    Args:
        name: name in the file.
        tensors: all tensors of the file.
    """
    bare = name.removeprefix("backbone.")
    if bare == name:
        return ""
    if bare in _UNUSED_TRUNK_TENSORS:
        return "the joint sequence does not use it"
    if bare.startswith(("head.", "head_dist.", "pre_logits.")):
        return "classifier"
    if bare.startswith("fc_norm.") and "backbone.norm.weight" in tensors:
        return "norm of a classifier; OSTrack applies the other one"
    return ""


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
