"""Load a ViTDet that detectron2's code trained, MAE-Lite's among them: names, layers and classes are mapped one by one.

A file has a plain ViT under ``backbone.net.``, the simple pyramid under ``backbone.simfp_2`` to ``simfp_5``, the
proposal network under ``proposal_generator.rpn_head.`` and the heads under ``roi_heads.``. Its convolutions carry their
norm inside (``weight``, ``norm.weight``, ``norm.bias``); here it is the next layer. Background is the last class in
both, so that no rows are exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from backbones.checkpoints.formats import format_dropped, format_shape, format_tensor
from backbones.checkpoints.load_weights import LoadReport
from backbones.checkpoints.read_checkpoint import describe_choice, read_raw_weights
from detection.models.detector import Detector
from foundation.errors import CheckpointError

_PREFIXES = {
    "roi_heads.box_head.fc1.": "box_head.hidden.",
    "roi_heads.box_predictor.cls_score.": "box_head.classes.",
    "roi_heads.box_predictor.bbox_pred.": "box_head.deltas.",
    "roi_heads.mask_head.deconv.": "mask_head.enlarge.",
    "roi_heads.mask_head.predictor.": "mask_head.masks.",
    "proposal_generator.rpn_head.objectness_logits.": "proposal_network.head.cls_logits.",
    "proposal_generator.rpn_head.anchor_deltas.": "proposal_network.head.bbox_pred.",
}
_REL_POS_PATTERN = re.compile(r"backbone\.net\.blocks\.(\d+)\.attn\.rel_pos_([hw])$")
_LEVEL_PATTERN = re.compile(r"backbone\.simfp_([2-5])\.(\d+)\.(norm\.)?(weight|bias)$")
_PROPOSAL_PATTERN = re.compile(r"proposal_generator\.rpn_head\.conv\.conv(\d+)\.(weight|bias)$")
_HEAD_PATTERN = re.compile(r"roi_heads\.(box_head\.conv|mask_head\.mask_fcn)(\d+)\.(norm\.)?(weight|bias)$")
_SETTING_PATTERN = re.compile(r"pixel_(mean|std)$|proposal_generator\.anchor_generator\.cell_anchors\.\d+$")
_LEADING_LAYERS = {2: 4, 3: 1, 4: 0, 5: 1}
"""Layers of each level in front of its 1x1 convolution: transposed convolutions with norm and GELU, or pooling."""

_MOST_NAMES = 5


def convert_detectron2_name(name: str) -> str:
    """Return the name that a tensor of detectron2's ViTDet has in a ``Detector``; "" for an unknown one.

    Args:
        name: name in detectron2's state dict.

    Example:
        >>> convert_detectron2_name("backbone.net.blocks.2.attn.rel_pos_h")
        'backbone.body.rel_pos.2.height'
        >>> convert_detectron2_name("backbone.simfp_3.2.norm.bias")
        'pyramid.levels.1.4.bias'
    """
    if found := _REL_POS_PATTERN.match(name):
        return f"backbone.body.rel_pos.{found[1]}.{'height' if found[2] == 'h' else 'width'}"
    if name.startswith("backbone.net."):
        return f"backbone.body.trunk.{name.removeprefix('backbone.net.')}"
    if found := _LEVEL_PATTERN.match(name):
        level, layer = int(found[1]), int(found[2])
        leading = _LEADING_LAYERS[level]
        # two convolutions, which are 2 layers here with their norms
        place = layer if layer < leading else leading + 2 * (layer - leading) + bool(found[3])
        return f"pyramid.levels.{level - 2}.{place}.{found[4]}"
    if found := _PROPOSAL_PATTERN.match(name):
        return f"proposal_network.head.conv.{found[1]}.0.{found[2]}"
    if found := _HEAD_PATTERN.match(name):
        # numbered from 1; three layers here: convolution, norm, ReLU
        place = 3 * (int(found[2]) - 1) + bool(found[3])
        return f"{found[1].partition('.')[0]}.convs.{place}.{found[4]}"
    for theirs, ours in _PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return ""


def load_detectron2_weights(detector: Detector, path: Path, weights_key: str | None = None) -> LoadReport:
    """Load a checkpoint of detectron2's ViTDet into a detector, in place: either all of it or nothing.

    The file is read as all weight files are: nothing in it is executed. detectron2's model zoo has pickles of numpy
    arrays (``.pkl``), which cannot be read this way and are refused. The number of attention heads shows in the shape
    of the relative positions.

    Args:
        detector: with the classes of the file and a plain ViT of its size.
        path: the file: a state dict, directly or under the key ``model``.
        weights_key: the weights to take from a file that holds several versions of them.

    Returns:
        What was loaded; a complete report, as anything else is refused.

    Raises:
        CheckpointError: the file cannot be read, or does not fit; the message names the tensors.
    """
    raw = read_raw_weights(path, weights_key)
    report = load_detectron2_tensors(detector, raw.tensors, str(path))
    report.notes.extend(describe_choice(raw))
    return report


def load_detectron2_tensors(detector: Detector, tensors: Mapping[str, Tensor], source: str) -> LoadReport:
    """Load a state dict with detectron2's names into a detector, in place: either all of it or nothing.

    Args:
        detector: gets the weights.
        tensors: the state dict.
        source: where it is from, for messages.

    Raises:
        CheckpointError: it does not fit.
    """
    if not any(name.startswith("backbone.net.") for name in tensors):
        raise CheckpointError(
            f"{source} is not a ViTDet of detectron2: it lacks backbone.net, the plain ViT below the pyramid; weights "
            "of a backbone alone are given with --checkpoint"
        )
    own = detector.state_dict()
    accepted: dict[str, Tensor] = {}
    dropped, unexpected, faults = [], [], []
    for name, value in tensors.items():
        ours = convert_detectron2_name(name)
        if _SETTING_PATTERN.match(name):
            dropped.append(format_dropped(name, value, "it follows from the settings"))
        elif ours not in own:
            unexpected.append(format_tensor(name, value))
        elif value.shape != own[ours].shape:
            faults.append(f"{name} is {format_shape(value)} and should be {format_shape(own[ours])}")
        elif not bool(torch.isfinite(value.float()).all()):
            raise CheckpointError(
                f"the checkpoint {source} holds NaN or infinity in {name}, so it cannot be used; take an earlier one"
            )
        else:
            accepted[ours] = value
    found = {convert_detectron2_name(name) for name in tensors}
    missing = [format_tensor(name, value) for name, value in own.items() if name not in found]
    problems = (("with another shape", faults), ("missing", missing), ("unknown", unexpected))
    if any(names for _, names in problems):
        texts = [f"{len(names)} {label}: {_join_names(names)}" for label, names in problems if names]
        raise CheckpointError(
            f"the checkpoint {source} does not fit this detector ({len(accepted)} tensors do; {'; '.join(texts)}); "
            "choose the backbone, the size, the classes and the model settings that it was trained with"
        )
    detector.load_state_dict(accepted)
    return LoadReport(len(accepted), [], [], [], dropped, 1.0, [])


def _join_names(names: list[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
